//! Types whose calls need no instance are found at start; the others are asked for by name.
use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallState, Role};

pub struct FoundFutureCall;

#[future_call]
impl FoundFutureCall {
    pub async fn hello(_session: &Session, word: String) -> Result<(), String> {
        if word == "hello" { Ok(()) } else { Err(word) }
    }
}

mod far_away {
    mod and_private {
        use futurecall_runtime::prelude::*;

        struct Secret;

        #[future_call]
        impl Secret {
            pub async fn hello(_session: &Session) {}
        }
    }

    #[cfg(any())]
    mod absent {
        struct Absent;

        #[futurecall_runtime::future_call]
        impl Absent {
            pub async fn hello(&self, _session: &futurecall_runtime::Session) {}
        }
    }
}

async fn run() {
    let builder = Pod::builder().database_url("memory:").role(Role::Maintenance);
    let pod = builder.start().await.unwrap();
    let found = pod.future_calls().call_now().found().hello("hello".to_owned()).await.unwrap();
    let secret = pod.future_call_with_delay("secret.hello", None::<&()>, Duration::ZERO).await.unwrap();
    pod.run_due().await.unwrap();
    for id in [found, secret] {
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!(call.state, CallState::Succeeded, "{call:?}");
    }
    pod.shutdown().await;
}

fn main() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run());
}
