// Arguments are borrowed only for the run.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _name: &'static str) {}
}

fn main() {}
