// The accessor must not be any method that scheduling builders have.
use futurecall_runtime::prelude::*;

pub struct ExpiresAfterFutureCall;

#[future_call]
impl ExpiresAfterFutureCall {
    pub async fn hello(_session: &Session) {}
}

fn main() {}
