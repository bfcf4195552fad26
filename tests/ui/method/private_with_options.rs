// Options of a private method mean nothing.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(name = "x")]
    async fn helper(_session: &Session) {}

    pub async fn hello(_session: &Session) {}
}

fn main() {}
