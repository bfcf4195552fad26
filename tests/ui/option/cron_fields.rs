// A cron expression has 5 or 6 fields.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(cron = "0 2 * *")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
