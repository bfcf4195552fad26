// A timeout lasts a millisecond at least.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(timeout = "0s")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
