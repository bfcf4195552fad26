// A recurring call has no accessor before its rule.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) {}
}

fn schedule(pod: &Pod) {
    let _ = pod.future_calls().call_recurring().example().hello();
}

fn main() {}
