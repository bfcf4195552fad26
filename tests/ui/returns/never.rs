// A call ends.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) -> ! {
        panic!()
    }
}

fn main() {}
