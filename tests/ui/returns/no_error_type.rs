// A type of the user's is an error once it says so.
use futurecall_runtime::prelude::*;

pub struct Refused;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) -> Result<(), Refused> {
        Err(Refused)
    }
}

fn main() {}
