// A name is a string.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(name)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
