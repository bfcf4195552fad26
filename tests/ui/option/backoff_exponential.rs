// An exponential backoff begins with its first wait.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, backoff = exponential(max = "1h")))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
