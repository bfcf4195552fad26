// A type has one block: its accessor and its list of calls are one.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) {}
}

#[future_call]
impl Example {
    pub async fn bye(_session: &Session) {}
}

fn main() {}
