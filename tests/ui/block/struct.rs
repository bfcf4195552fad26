// The attribute goes on an `impl` block, not on the type.
use futurecall_runtime::prelude::*;

#[future_call]
pub struct Example;

fn main() {}
