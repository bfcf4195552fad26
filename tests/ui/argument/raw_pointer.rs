// A pointer means nothing in another process.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _at: Vec<*const u8>) {}
}

fn main() {}
