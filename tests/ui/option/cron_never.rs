// A cron expression must come at some time.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(cron = "0 0 30 2 *")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
