// The session comes before the arguments.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_data: String) {}
}

fn main() {}
