// `Self` mentions the parameters of the block.
use futurecall_runtime::prelude::*;

pub struct Example<T>(T);

#[future_call]
impl<T: Send + Sync + 'static> Example<T> {
    pub async fn hello(&self, _session: &Session, _other: Self) {}
}

fn main() {}
