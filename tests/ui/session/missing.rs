// A future call is given its session.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello() {}
}

fn main() {}
