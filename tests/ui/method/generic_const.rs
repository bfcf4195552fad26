// A stored call knows its argument types.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello<const N: usize>(_session: &Session, _item: [u8; N]) {}
}

fn main() {}
