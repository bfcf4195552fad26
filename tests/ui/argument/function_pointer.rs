// A pointer means nothing in another process.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _then: fn(u8)) {}
}

fn main() {}
