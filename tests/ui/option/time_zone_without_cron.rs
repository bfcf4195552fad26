// An interval has no time zone.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(every = "1h", time_zone = "Europe/Berlin")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
