// A word is text.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(on_interrupt = rerun)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
