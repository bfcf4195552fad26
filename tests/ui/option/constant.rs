// The value of an option is checked before constants and macros have theirs: it is a literal.
use futurecall_runtime::prelude::*;

const NIGHTLY: &str = "0 2 * * *";

pub struct Example;

#[future_call(timeout = std::time::Duration::from_secs(30))]
impl Example {
    #[future_call(cron = NIGHTLY, time_zone = concat!("Europe/", "Berlin"))]
    pub async fn hello(_session: &Session, #[future_call(alias = stringify!(old))] _count: u8) {}
}

fn main() {}
