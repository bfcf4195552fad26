// A chosen accessor must not be a method that scheduling builders have.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call(name = "of")]
impl Example {
    pub async fn hello(_session: &Session) {}
}

fn main() {}
