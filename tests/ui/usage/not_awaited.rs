// A call that is not awaited is not stored: a warning, and an error where warnings are.
#![deny(unused_must_use)]

use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) {}
}

fn schedule(pod: &Pod) {
    pod.future_calls().call_now().example().hello();
}

fn main() {}
