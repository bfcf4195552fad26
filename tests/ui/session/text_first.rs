// A borrowed text is an argument, not a session.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_data: &str) {}
}

fn main() {}
