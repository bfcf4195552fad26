// An alias must not be another argument's key.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, a: u8, #[future_call(alias = "a")] b: u8) {
        drop((a, b));
    }
}

fn main() {}
