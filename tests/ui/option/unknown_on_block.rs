// Options that do not exist are refused, with the list of those that do.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call(nam = "x")]
impl Example {
    pub async fn hello(_session: &Session) {}
}

fn main() {}
