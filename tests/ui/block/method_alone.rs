// On a method the attribute gives options; the block needs it, too.
use futurecall_runtime::prelude::*;

pub struct Example;

impl Example {
    #[future_call(name = "hello")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
