// One value serves all runs at once, and is borrowed: no `self: Arc<Self>`.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(self: std::sync::Arc<Self>, _session: &Session) {}
}

fn main() {}
