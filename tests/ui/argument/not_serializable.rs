// An argument must be serializable.
use futurecall_runtime::prelude::*;

pub struct NotSer;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _item: NotSer) {}
}

fn main() {}
