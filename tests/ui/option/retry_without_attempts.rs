// A retry says how many attempts there are.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(backoff = fixed("10s")))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
