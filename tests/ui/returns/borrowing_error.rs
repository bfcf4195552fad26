// An error outlives its run.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(session: &Session) -> Result<(), &Session> {
        Err(session)
    }
}

fn main() {}
