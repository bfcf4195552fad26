// An interrupted run is kept or run again.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(on_interrupt = "retry")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
