// The session comes after `&self`.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(&self) {}
}

fn main() {}
