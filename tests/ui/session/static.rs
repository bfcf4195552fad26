// The session lives only while the call runs.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &'static Session) {}
}

fn main() {}
