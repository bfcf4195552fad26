// `invoke` is the name of the by-name interface.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn invoke(_session: &Session) {}
}

fn main() {}
