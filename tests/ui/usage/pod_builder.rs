// A pod that has not started can not schedule.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) {}
}

fn main() {
    let builder = Pod::builder();
    builder.future_calls();
}
