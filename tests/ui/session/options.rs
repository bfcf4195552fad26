// The session is no argument: there is nothing to hide, to rename or to default.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(#[future_call(redact)] _session: &Session, _password: &str) {}
}

fn main() {}
