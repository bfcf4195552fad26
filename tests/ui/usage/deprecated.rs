// `#[deprecated]` travels to the facade method.
#![deny(deprecated)]

use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[deprecated = "say good morning"]
    pub async fn hello(_session: &Session) {}
}

fn schedule(pod: &Pod) {
    let _ = pod.future_calls().call_now().example().hello();
}

fn main() {}
