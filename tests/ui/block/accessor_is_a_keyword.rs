// Most keywords are accessors as raw identifiers; these four can not be.
use futurecall_runtime::prelude::*;

pub struct SelfFutureCall;

#[future_call]
impl SelfFutureCall {
    pub async fn hello(_session: &Session) {}
}

fn main() {}
