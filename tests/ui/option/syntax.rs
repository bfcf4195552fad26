// Options are separated by commas.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(name "x")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
