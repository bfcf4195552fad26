// A schedule has no values for the arguments of a call that recurs by attribute.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(every = "1h")]
    pub async fn hello(_session: &Session, _item: u8) {}
}

fn main() {}
