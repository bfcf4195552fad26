// The fields of a cron expression have ranges.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(cron = "61 2 * * *")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
