// A stored argument has one concrete type.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _item: impl ToString) {}
}

fn main() {}
