//! The targets of `cancel`, `reschedule` and `run_now`: one call, by its id, or all with an identifier.

use std::time::Duration;

use futurecall_runtime::schedule::Cancelled;
use futurecall_runtime::{CallId, CallState, Pod, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::on_all_stores;

const HOUR: Duration = Duration::from_hours(1);

async fn stored(pod: &Pod, identifier: impl std::fmt::Display) -> CallId {
    pod.future_call_with_delay("note", Some("-"), HOUR).identifier(identifier).await.unwrap()
}

on_all_stores! {
    async fn a_call_id_means_that_call_and_never_a_text(backend: &Backend) {
        let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
        let calls = pod.future_calls();
        let one = Cancelled::new(1, 0, 0);

        let id = stored(&pod, "x").await;
        // Another call, labelled with the id of the first: a label is a text.
        let labelled = stored(&pod, id).await;
        assert_eq!(calls.cancel(id).await.unwrap(), one);
        assert_eq!(calls.status(id).await.unwrap(), Some(CallState::Cancelled));
        assert_eq!(calls.status(labelled).await.unwrap(), Some(CallState::Scheduled));
        assert_eq!(calls.cancel(id.to_string()).await.unwrap(), one);
        assert_eq!(calls.status(labelled).await.unwrap(), Some(CallState::Cancelled));

        // Borrowed as well, as loops over ids have it.
        let borrowed = &stored(&pod, "x").await;
        assert_eq!(calls.reschedule(borrowed, HOUR).await.unwrap().calls, 1);
        assert_eq!(calls.run_now(borrowed).await.unwrap().calls, 1);
        assert_eq!(calls.cancel(borrowed).await.unwrap(), one);
        let id = stored(&pod, "x").await;
        assert_eq!(pod.cancel_future_call(id).await.unwrap(), one);
        assert_eq!(calls.cancel(id).await.unwrap(), Cancelled::default(), "it is over");
        assert_eq!(calls.cancel(CallId::new()).await.unwrap(), Cancelled::default(), "nobody knows it");
        pod.shutdown().await;
    }

    async fn an_identifier_is_given_as_any_text_or_number(backend: &Backend) {
        let pod = backend.builder().role(Role::Serverless).start().await.unwrap();
        let calls = pod.future_calls();
        let (one, text) = (Cancelled::new(1, 0, 0), String::from("user:7"));
        macro_rules! each {
            ($label:expr => $($given:expr),* $(,)?) => {$(
                stored(&pod, $label).await;
                assert_eq!(calls.reschedule($given, HOUR).await.unwrap().calls, 1);
                assert_eq!(calls.run_now($given).await.unwrap().calls, 1);
                assert_eq!(calls.cancel($given).await.unwrap(), one, "{}", stringify!($given));
                stored(&pod, $label).await;
                assert_eq!(pod.cancel_future_call($given).await.unwrap(), one, "{}", stringify!($given));
            )*};
        }
        each!("user:7" =>
            "user:7",
            &"user:7",
            text.clone(),
            &text,
            std::borrow::Cow::Borrowed(text.as_str()),
            Box::<str>::from(text.as_str()),
            std::sync::Arc::<str>::from(text.as_str()),
            format_args!("user:{}", 7),
        );
        each!(7 => 7, 7_i64, 7_u64, 7_usize, &7_u32);
        pod.shutdown().await;
    }
}
