// There are six nicknames.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(cron = "@dayly")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
