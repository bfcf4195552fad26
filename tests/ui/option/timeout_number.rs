// A timeout is text.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(timeout = 30)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
