// The session comes before the arguments.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(&self, _data: String, _session: &Session) {}
}

fn main() {}
