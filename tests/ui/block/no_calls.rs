// A block without a public method has nothing to schedule.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    async fn helper(_session: &Session) {}
}

fn main() {}
