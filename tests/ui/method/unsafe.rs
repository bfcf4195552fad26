// Nobody could uphold the contract of an unsafe call.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async unsafe fn hello(_session: &Session) {}
}

fn main() {}
