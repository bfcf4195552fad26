// A function of its own has no facade: it must stand in an `impl` block.
use futurecall_runtime::prelude::*;

#[future_call]
pub async fn hello(_session: &Session) {}

fn main() {}
