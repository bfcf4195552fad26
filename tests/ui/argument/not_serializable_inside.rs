// Everything inside an argument must be serializable; the whole type is underlined.
use futurecall_runtime::prelude::*;

pub struct NotSer;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _items: Vec<NotSer>) {}
}

fn main() {}
