// A call has a moment before it has a name.
use futurecall_runtime::prelude::*;

pub struct Mail;

#[future_call]
impl Mail {
    pub async fn send(_session: &Session, _user: i64) {}
}

async fn schedule(pod: &Pod) {
    pod.future_calls().mail().send(1).await.unwrap();
}

fn main() {}
