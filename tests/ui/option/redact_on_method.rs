// What is hidden is said of each argument.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(redact)]
    pub async fn hello(_session: &Session, _password: &str) {}
}

fn main() {}
