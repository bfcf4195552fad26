// The options of a call are the same in every build.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    #[cfg_attr(unix, future_call(name = "x"))]
    pub async fn hello(_session: &Session) {}
}

fn main() {}
