// There is one session.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _other: &Session) {}
}

fn main() {}
