// Only methods are future calls.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(name = "x")]
    pub const LIMIT: u8 = 1;

    pub async fn hello(_session: &Session) {}
}

fn main() {}
