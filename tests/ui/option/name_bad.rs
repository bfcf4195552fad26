// A stored name can be typed and stored everywhere.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(name = "two words")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
