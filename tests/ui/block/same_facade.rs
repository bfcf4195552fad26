// Two types of one module whose generated items would have the same names.
use futurecall_runtime::prelude::*;

pub struct Mail;

#[future_call]
impl Mail {
    pub async fn send(_session: &Session) {}
}

pub struct MailFutureCall;

#[future_call]
impl MailFutureCall {
    pub async fn send(_session: &Session) {}
}

fn main() {
    let _ = |pod: &Pod| (pod.future_calls().call_now().mail().send(), Pod::builder().register(MailFutureCall));
}
