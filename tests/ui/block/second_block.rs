// A type has one block: its accessor and its list of calls are one.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) {}
}

#[future_call]
impl Example {
    pub async fn bye(_session: &Session, #[future_call(default = 3)] _count: u8) {}
}

fn main() {
    // What calls the methods is quiet: it is right once they have moved.
    let _ = |pod: &Pod| (pod.future_calls().call_now().example().hello(), pod.future_calls().call_now().example().bye(1));
}
