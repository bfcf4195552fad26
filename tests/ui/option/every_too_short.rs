// An interval is a millisecond or more.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(every = "1us")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
