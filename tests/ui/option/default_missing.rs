// `default` alone needs a `Default`.
use futurecall_runtime::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Level(u8);

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[future_call(default)] _item: Level) {}
}

fn main() {}
