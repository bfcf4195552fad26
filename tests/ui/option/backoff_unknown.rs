// There are three kinds of backoff.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, backoff = linear("1s")))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
