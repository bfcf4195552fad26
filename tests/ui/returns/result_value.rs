// Nobody waits for a value, also inside a `Result`.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) -> Result<i32, String> {
        Ok(1)
    }
}

fn main() {}
