// Two calls of a block must not be stored under one name.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) {}

    #[future_call(name = "hello")]
    pub async fn greet(_session: &Session) {}
}

fn main() {}
