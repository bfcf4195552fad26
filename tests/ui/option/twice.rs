// An option is given once.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(priority = 1, priority = 2)]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
