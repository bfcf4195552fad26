// A default is of the type of its parameter.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[future_call(default = "x")] _item: u8) {}
}

fn main() {}
