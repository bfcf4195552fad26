// Arguments are stored before the call runs: a stream can not be one.
use futurecall_runtime::prelude::*;

pub struct BoxStream<'a, T>(&'a T);

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _items: BoxStream<'static, u8>) {}
}

fn main() {}
