// In another module nothing else of a second block is there twice.
use futurecall_runtime::prelude::*;

pub struct Example;

#[future_call]
impl Example {
    pub async fn hello(_session: &Session) {}
}

mod more {
    use futurecall_runtime::prelude::*;

    #[future_call]
    impl super::Example {
        pub async fn bye(_session: &Session) {}
    }
}

fn main() {}
