// An offset is no time zone, and the zones with one in their names have the opposite sign.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(cron = "0 2 * * *", time_zone = "GMT+2")]
    pub async fn hello(_session: &Session) {}

    #[future_call(cron = "0 2 * * *", time_zone = "Berlin")]
    pub async fn nearest(_session: &Session) {}
}

fn main() {}
