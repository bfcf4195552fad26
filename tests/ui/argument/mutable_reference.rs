// Arguments are read back for each run: changing them changes nothing.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _names: &mut Vec<String>) {}
}

fn main() {}
