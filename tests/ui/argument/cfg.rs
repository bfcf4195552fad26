// A parameter must not come and go with the build.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, #[cfg(unix)] _uid: u32) {}
}

fn main() {}
