// Handlers of a type run on any thread: a value of it must be `Send` and `Sync`.
use futurecall_runtime::prelude::*;

pub struct Example(std::rc::Rc<u8>);

#[future_call]
impl Example {
    pub async fn hello(&self, _session: &Session) {}
}

fn main() {}
