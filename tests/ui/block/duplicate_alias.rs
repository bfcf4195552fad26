// An alias must not be the name of another call.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) {}

    #[future_call(alias = "hello")]
    pub async fn greet(_session: &Session) {}
}

fn main() {}
