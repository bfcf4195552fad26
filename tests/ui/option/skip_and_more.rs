// What is kept out has no options.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(skip, priority = 1)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
