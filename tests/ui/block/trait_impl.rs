// Future calls are inherent methods.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Clone for Example {
    fn clone(&self) -> Self {
        Example
    }
}

fn main() {}
