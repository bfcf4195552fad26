// What follows is `max` and `jitter`.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, backoff = exponential("1s", jiter)))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
