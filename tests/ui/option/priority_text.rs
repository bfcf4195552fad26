// A priority is a number.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(priority = "high")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
