// A retry says how many attempts there are.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry())]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
