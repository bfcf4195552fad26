// The accessor must not be a method that scheduling builders have.
use futurecall_runtime::prelude::*;

pub struct IdentifierFutureCall;

#[future_call]
impl IdentifierFutureCall {
    pub async fn hello(_session: &Session) {}
}

fn main() {}
