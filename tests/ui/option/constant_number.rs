// Numbers and waits are literals, too.
use futurecall_runtime::prelude::*;

const ATTEMPTS: u32 = 3;
const WAIT: &str = "1s";

pub struct Example;

#[future_call(priority = -(ATTEMPTS as i16))]
impl Example {
    #[future_call(retry(max_attempts = ATTEMPTS, backoff = exponential(WAIT, max = WAIT)))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
