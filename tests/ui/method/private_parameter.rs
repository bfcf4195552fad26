// Options on a parameter of a private method mean nothing.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    async fn helper(_session: &Session, #[future_call(default)] _count: u8) {}

    pub async fn hello(session: &Session) {
        Self::helper(session, 1).await;
    }
}

fn main() {}
