// A duration is text; without quotes, what was meant is proposed.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(every = 90min)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
