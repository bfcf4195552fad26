// The first parameter must really be a session.
use futurecall_runtime::prelude::*;

pub struct Other;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Other) {}
}

fn main() {}
