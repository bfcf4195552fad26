// Options of a method are not options of a block.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call(every = "1h")]
impl Example {
    pub async fn hello(_session: &Session) {}
}

fn main() {}
