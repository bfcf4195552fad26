// A default for `&str` is text.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[future_call(default = 5)] _item: &str) {}
}

fn main() {}
