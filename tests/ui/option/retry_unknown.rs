// There are two options inside a retry.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, delay = "1s"))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
