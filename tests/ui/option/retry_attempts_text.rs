// The number of attempts is a number.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = "3"))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
