// Options that do not exist are refused, with the list of those that do.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[future_call(rename = "x")] _item: u8) {}
}

fn main() {}
