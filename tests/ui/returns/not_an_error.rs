// An error must be one, or text.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) -> Result<(), u8> {
        Ok(())
    }
}

fn main() {}
