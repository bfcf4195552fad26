// A custom backoff gives a duration.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, backoff = custom(seconds)))]
    pub async fn hello(_session: &Session) {}
}

fn seconds(attempt: u32) -> u32 {
    attempt
}

fn main() {}
