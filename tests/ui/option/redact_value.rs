// Whether an argument is hidden is no matter of a value.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[future_call(redact = true)] _password: &str) {}
}

fn main() {}
