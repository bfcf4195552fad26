// A future call is an `async fn`.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub fn new() -> Self {
        Example
    }

    pub async fn hello(_session: &Session) {}
}

fn main() {}
