//! Page three: the older interface, by name.

use std::time::Duration;

use futurecall_runtime::chrono::{TimeZone, Utc};
use futurecall_runtime::prelude::*;
use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::{CallState, StartError};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use futurecall_tests::on_all_stores;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    month: u8,
    title: String,
}

struct ExampleFutureCall(Journal);

impl InvokableFutureCall for ExampleFutureCall {
    type Data = Report;

    async fn invoke(&self, _session: &Session, data: Option<Report>) -> Result<(), BoxError> {
        self.0.write(format!("{data:?}"));
        Ok(())
    }
}

on_all_stores! {
    async fn registered_and_scheduled_by_name(backend: &Backend) {
        let journal = Journal::new();
        let example = || ExampleFutureCall(journal.clone());
        let pod = backend.builder().register_future_call("exampleFutureCall", example()).start().await.unwrap();
        let data = Report { month: 7, title: "July".to_owned() };
        let hour = Duration::from_hours(1);

        let id = pod.future_call_with_delay("exampleFutureCall", Some(&data), hour).await.unwrap();
        assert_eq!(pod.inspect().call(id).await.unwrap().unwrap().args, r#"{"data":{"month":7,"title":"July"}}"#);
        let at = Utc.with_ymd_and_hms(2035, 1, 1, 0, 0, 0).unwrap();
        pod.future_call_at_time("exampleFutureCall", Some(&data), at).identifier("r-42").await.unwrap();
        assert_eq!(pod.cancel_future_call("r-42").await.unwrap(), Cancelled::new(1, 0, 0));
        assert_eq!(pod.future_calls().status(id).await.unwrap(), Some(CallState::Scheduled));

        pod.future_call_with_delay("exampleFutureCall", Some(&data), Duration::ZERO).await.unwrap();
        assert_eq!(journal.wait_for(1).await, [format!("{:?}", Some(&data))]);
        pod.future_call_with_delay("exampleFutureCall", None::<&Report>, Duration::ZERO).await.unwrap();
        assert_eq!(journal.wait_for(2).await[1], "None");
        pod.shutdown().await;
    }

    async fn a_name_is_unique(backend: &Backend) {
        let example = || ExampleFutureCall(Journal::new());
        let builder = backend.builder().register_future_call("same", example());
        let error = builder.register_future_call("same", example()).start().await.unwrap_err();
        assert!(matches!(&error, StartError::DuplicateName { name, .. } if name == "same"), "{error}");
    }
}
