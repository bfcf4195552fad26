// A backoff has a kind.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, backoff = "1s"))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
