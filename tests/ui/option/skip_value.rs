// `skip` is a flag.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(skip = true)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
