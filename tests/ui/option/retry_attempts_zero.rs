// There is one attempt at least.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 0))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
