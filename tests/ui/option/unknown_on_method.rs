// Options that do not exist are refused, with the list of those that do.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(nme = "x")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
