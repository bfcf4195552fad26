// A stored call knows its argument types.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello<T: ToString>(_session: &Session, _item: T) {}
}

fn main() {}
