// An interval is not longer than a hundred years.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(every = "9000years")]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
