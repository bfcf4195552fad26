// On a block the same holds as on a method.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call(retry(attempts = 3), timeout = "soon", on_interrupt = rerun)]
impl Example {
    pub async fn hello(_session: &Session) {}
}

fn main() {}
