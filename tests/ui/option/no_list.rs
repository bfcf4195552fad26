// Options stand in parentheses.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call = "hello"]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
