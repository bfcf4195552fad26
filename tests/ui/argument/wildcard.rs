// An argument needs a name.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _: u8) {}
}

fn main() {}
