// A wait has a unit.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, backoff = fixed(10)))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
