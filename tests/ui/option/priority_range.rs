// A priority fits 16 bits.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(priority = 40000)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
