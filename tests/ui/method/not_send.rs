// A run may move between threads: nothing that is not `Send` may live across an `.await`.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(session: &Session) {
        let here = std::rc::Rc::new(1);
        session.cancelled().await;
        drop(here);
    }
}

fn main() {}
