// Arguments are stored before the call runs: a stream can not be one.
use futurecall_runtime::prelude::*;

pub trait Stream {}

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _items: impl Stream) {}
}

fn main() {}
