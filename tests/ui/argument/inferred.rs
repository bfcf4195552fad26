// The type of an argument is written out.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _items: Vec<_>) {}
}

fn main() {}
