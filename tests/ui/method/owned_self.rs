// One value serves all runs at once: no `self`.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(self, _session: &Session) {}
}

fn main() {}
