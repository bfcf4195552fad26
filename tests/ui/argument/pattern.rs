// An argument is stored under its name.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, (_a, _b): (u8, u8)) {}
}

fn main() {}
