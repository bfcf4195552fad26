// A call recurs by one rule.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(cron = "0 2 * * *", every = "1h")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
