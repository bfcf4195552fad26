// What is registered has future calls.
use futurecall_runtime::prelude::*;

pub struct Example;

fn main() {
    let _ = Pod::builder().register(Example);
}
