// State is not stored, so nobody could be shown it.
use futurecall_runtime::prelude::*;

pub struct Mailer;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[future_call(state, redact)] _mailer: &Mailer) {}
}

fn main() {}
