// All mistakes of a block are reported in one go; call sites of the methods concerned stay quiet.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub fn new() -> Self {
        Example
    }

    pub async fn good(_session: &Session, _count: u8) {}

    pub async fn borrowing(_session: &Session, _names: Vec<&str>) {}

    pub async fn invoke(_session: &Session) {}

    #[future_call(nme = "x")]
    pub async fn misspelt(_session: &Session, (_a, _b): (u8, u8)) -> &'static str {
        ""
    }
}

fn schedule(pod: &futurecall_runtime::Pod) {
    let now = || pod.future_calls().call_now();
    let _ = now().example().good(1);
    let _ = now().example().borrowing(vec!["a"]);
    let _ = now().example().misspelt((1, 2));
}

fn main() {}
