// Two wrong arguments are two errors.
use futurecall_runtime::prelude::*;

pub struct NotSer;

pub struct AlsoNot;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _a: NotSer, _b: u8, _c: AlsoNot) {}
}

fn main() {}
