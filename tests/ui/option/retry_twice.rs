// Each option stands once.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry(max_attempts = 3, max_attempts = 4))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
