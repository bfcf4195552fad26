// A macro in the type of an argument mentions the block's parameter as well.
use futurecall_runtime::prelude::*;

macro_rules! list {
    ($of:ty) => { Vec<$of> };
}

pub struct Example<T>(T);

#[future_call]
impl<T: Send + Sync + 'static> Example<T> {
    pub async fn hello(&self, _session: &Session, _items: list!(T)) {}
}

fn main() {}
