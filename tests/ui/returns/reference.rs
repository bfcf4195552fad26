// Nobody waits for a value.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) -> &'static str {
        ""
    }
}

fn main() {}
