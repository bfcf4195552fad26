// A retry is written with parentheses.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(retry = 3)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
