// An interval is written as text.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(every = 10)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
