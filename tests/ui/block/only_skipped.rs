// A block whose public methods are all kept out has nothing to schedule.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[future_call(skip)]
    pub async fn helper(_session: &Session) {}
}

fn main() {}
