// A stored name can be typed and stored everywhere.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(alias = "")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
