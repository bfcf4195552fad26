// The path of the runtime crate is absolute.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call(crate = renamed)]
impl Example {
    pub async fn hello(_session: &Session) {}
}

fn main() {}
