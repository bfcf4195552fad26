// State is shared.
use futurecall_runtime::prelude::*;

pub struct Mailer;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[future_call(state)] _mailer: &mut Mailer) {}
}

fn main() {}
