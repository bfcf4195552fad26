// The session is shared.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &mut Session) {}
}

fn main() {}
