// The name of a block is its accessor as well.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call(name = "my-jobs")]
impl Example {
    pub async fn hello(_session: &Session) {}
}

fn main() {}
