// An alias is the old name of a parameter.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[future_call(alias = "old name")] _item: u8) {}
}

fn main() {}
