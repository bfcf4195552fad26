// An error moves between threads with its run.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

fn main() {}
