// An argument may be a reference, but not to one.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _names: &[&[u8]]) {}
}

fn main() {}
