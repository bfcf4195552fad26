// Two arguments must not be stored under one key.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _a: u8, a: u8) {
        drop(a);
    }
}

fn main() {}
