// The longest wait is not shorter than the first.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, backoff = exponential("1h", max = "1s")))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
