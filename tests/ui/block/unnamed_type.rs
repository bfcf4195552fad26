// A block needs the name of its type for the accessor.
use futurecall_runtime::prelude::*;

pub trait Local {}

#[future_call]
impl dyn Local {
    pub async fn hello(&self, _session: &Session) {}
}

fn main() {}
