// A time zone exists.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(cron = "0 2 * * *", time_zone = "Europe/Atlantis")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
