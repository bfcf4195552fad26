// State is not stored.
use futurecall_runtime::prelude::*;

pub struct Mailer;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[future_call(state, default)] _mailer: &Mailer) {}
}

fn main() {}
