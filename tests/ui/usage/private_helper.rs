// A private method is not a future call.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(session: &Session) {
        Self::helper(session).await;
    }

    async fn helper(_session: &Session) {}
}

fn schedule(pod: &Pod) {
    let _ = pod.future_calls().call_now().example().helper();
}

fn main() {}
