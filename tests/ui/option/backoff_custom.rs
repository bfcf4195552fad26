// A custom backoff takes the path of a function.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, backoff = custom(|attempt| attempt)))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
