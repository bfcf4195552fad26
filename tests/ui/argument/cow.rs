// An argument owns its data; `Cow<'static, str>` would be right.
use futurecall_runtime::prelude::*;

use std::borrow::Cow;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session, _name: Cow<'_, str>) {}
}

fn main() {}
