// A wait lasts a millisecond at least.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, backoff = fixed("1us")))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
