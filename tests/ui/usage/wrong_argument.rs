// A facade method takes what its method takes.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _count: u32, _name: &str) {}
}

fn schedule(pod: &Pod) {
    let _ = pod.future_calls().call_now().example().hello("7", "x");
    let _ = pod.future_calls().call_now().example().hello(7);
}

fn main() {}
