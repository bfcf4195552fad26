//! Two releases of one service side by side: what one of them cannot read, the other runs.

use std::time::Duration;

use futurecall_runtime::inspect::Reason;
use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallId, CallState, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

/// The release of yesterday.
mod old {
    use super::*;

    pub(super) struct Old(pub(super) Journal);

    /// Below 100: reading any other panics.
    #[derive(serde::Serialize)]
    pub(super) struct Small(u64);

    impl<'de> serde::Deserialize<'de> for Small {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let size = u64::deserialize(deserializer)?;
            assert!(size < 100, "{size} is not small");
            Ok(Self(size))
        }
    }

    #[future_call(name = "release")]
    impl Old {
        pub(super) async fn renamed(&self, _session: &Session, user: i64) {
            self.0.write(format!("old renamed {user}"));
        }

        pub(super) async fn retyped(&self, _session: &Session, size: u8) {
            self.0.write(format!("old retyped {size}"));
        }

        pub(super) async fn grown(&self, _session: &Session, user: i64) {
            self.0.write(format!("old grown {user}"));
        }

        pub(super) async fn widened(&self, _session: &Session, size: Small) {
            self.0.write(format!("old widened {}", size.0));
        }
    }
}

/// The release of today.
mod new {
    use super::*;

    pub(super) struct New(pub(super) Journal);

    #[future_call(name = "release")]
    impl New {
        pub(super) async fn renamed(&self, _session: &Session, #[future_call(alias = "user")] account: i64) {
            self.0.write(format!("new renamed {account}"));
        }

        pub(super) async fn retyped(&self, _session: &Session, size: String) {
            self.0.write(format!("new retyped {size}"));
        }

        pub(super) async fn grown(&self, _session: &Session, user: i64, why: String) {
            self.0.write(format!("new grown {user} {why}"));
        }

        pub(super) async fn widened(&self, _session: &Session, size: u64) {
            self.0.write(format!("new widened {size}"));
        }
    }
}

async fn old_pod(backend: &Backend, journal: &Journal) -> Pod {
    backend.builder().register(old::Old(journal.clone())).start().await.unwrap()
}

async fn new_pod(backend: &Backend, journal: &Journal) -> Pod {
    backend.builder().register(new::New(journal.clone())).start().await.unwrap()
}

async fn is_over(pod: &Pod, id: CallId) -> CallState {
    eventually("the call is over", || async {
        let state = pod.future_calls().status(id).await.unwrap().unwrap();
        (!matches!(state, CallState::Scheduled | CallState::Running)).then_some(state)
    })
    .await
}

on_all_stores! {
    async fn each_release_runs_what_only_it_can_read(backend: &Backend) {
        let journal = Journal::new();
        let (old, new) = (old_pod(backend, &journal).await, new_pod(backend, &journal).await);
        let mut ids = Vec::new();
        for n in 0..8_u8 {
            let id = i64::from(n);
            let calls = old.future_calls();
            ids.push(calls.call_now().of::<old::Old>().renamed(id).await.unwrap());
            ids.push(calls.call_now().of::<old::Old>().retyped(n).await.unwrap());
            ids.push(calls.call_now().of::<old::Old>().grown(id).await.unwrap());
            let calls = new.future_calls();
            ids.push(calls.call_now().of::<new::New>().renamed(id).await.unwrap());
            ids.push(calls.call_now().of::<new::New>().retyped("large".to_owned()).await.unwrap());
            ids.push(calls.call_now().of::<new::New>().grown(id, "because".to_owned()).await.unwrap());
        }
        for id in &ids {
            assert_eq!(is_over(&old, *id).await, CallState::Succeeded);
        }
        let lines = journal.wait_for(ids.len()).await;
        assert_eq!(lines.len(), ids.len(), "{lines:?}");
        let count = |begin: &str| lines.iter().filter(|line| line.starts_with(begin)).count();
        assert_eq!((count("old retyped"), count("new retyped")), (8, 8));
        // The old release takes no notice of an argument that it does not know, and the new one reads both names.
        assert!(count("old grown") >= 8 && count("new renamed") >= 8, "{lines:?}");
        for id in ids {
            let call = old.inspect().call(id).await.unwrap().unwrap();
            assert_eq!(call.attempts.len(), 1, "declining is no attempt: {call:?}");
        }
        old.shutdown().await;
        new.shutdown().await;
    }

    async fn what_no_live_pod_can_read_fails_with_the_parameter(backend: &Backend) {
        let journal = Journal::new();
        let (old, new) = (old_pod(backend, &journal).await, new_pod(backend, &journal).await);
        let neither = serde_json::json!({ "size": [1, 2] });
        let id = old.future_call_with_delay("release.retyped", Some(&neither), Duration::ZERO).await.unwrap();
        assert_eq!(is_over(&new, id).await, CallState::Failed);
        let call = new.inspect().call(id).await.unwrap().unwrap();
        assert!(call.error.as_deref().is_some_and(|error| error.contains("`size`")), "{call:?}");
        assert_eq!(call.attempt, 1);
        new.shutdown().await;
        // Alone, a pod knows at once that nobody else can read it.
        let id = old.future_call_with_delay("release.retyped", Some(&neither), Duration::ZERO).await.unwrap();
        assert_eq!(is_over(&old, id).await, CallState::Failed);
        old.shutdown().await;
        assert_eq!(journal.lines(), Vec::<String>::new());
    }

    async fn arguments_whose_decoding_panics_are_left_to_another_release(backend: &Backend) {
        let journal = Journal::new();
        let (old, new) = (old_pod(backend, &journal).await, new_pod(backend, &journal).await);
        let mut ids = Vec::new();
        for _ in 0..8 {
            ids.push(new.future_calls().call_now().of::<new::New>().widened(500).await.unwrap());
        }
        for id in ids {
            assert_eq!(is_over(&new, id).await, CallState::Succeeded);
        }
        assert_eq!(journal.wait_for(8).await, ["new widened 500"; 8]);
        let calls = new.future_calls();
        let id = calls.call_with_delay(Duration::from_hours(1)).of::<new::New>().widened(500).await.unwrap();
        new.shutdown().await;
        old.future_calls().run_now(id).await.unwrap();
        assert_eq!(is_over(&old, id).await, CallState::Failed);
        let call = old.inspect().call(id).await.unwrap().unwrap();
        let error = "argument `size` of `release.widened`: decoding it panicked: 500 is not small";
        assert_eq!((call.error.as_deref(), call.attempt), (Some(error), 1));
        old.shutdown().await;
    }

    async fn why_gives_one_reason_for_a_declined_call(backend: &Backend) {
        let journal = Journal::new();
        let maintenance = || backend.builder().role(Role::Maintenance);
        let old = maintenance().register(old::Old(journal.clone())).start().await.unwrap();
        let new = maintenance().register(new::New(journal.clone())).start().await.unwrap();
        let id = new.future_calls().call_now().of::<new::New>().retyped("large".to_owned()).await.unwrap();
        assert_eq!(old.run_due().await.unwrap().started, 0);
        for pod in [&old, &new] {
            let why = pod.inspect().why(id).await.unwrap().unwrap();
            assert!(matches!(why.reasons[..], [Reason::OtherRelease { able: 1, .. }]), "{why}");
        }
        new.shutdown().await;
        let why = old.inspect().why(id).await.unwrap().unwrap();
        assert!(matches!(&why.reasons[..], [Reason::Broken { reason }] if reason.contains("`size`")), "{why}");
        // Who runs no such calls cannot tell what is wrong with them.
        let looking = backend.builder().role(Role::Serverless).start().await.unwrap();
        let why = looking.inspect().why(id).await.unwrap().unwrap();
        assert!(matches!(why.reasons[..], [Reason::OtherRelease { able: 0, .. }]), "{why}");
        looking.shutdown().await;
        old.shutdown().await;
    }

    async fn why_says_that_a_call_is_left_to_another_release(backend: &Backend) {
        let journal = Journal::new();
        // It is live and has the name, and runs nothing before it is asked to.
        let new = backend.builder().role(Role::Maintenance).register(new::New(journal.clone()));
        let new = new.start().await.unwrap();
        let old = old_pod(backend, &journal).await;
        let id = new.future_calls().call_now().of::<new::New>().retyped("large".to_owned()).await.unwrap();
        let why = eventually("it is left to the other release", || async {
            let why = new.inspect().why(id).await.unwrap().unwrap();
            matches!(why.reasons[..], [Reason::OtherRelease { able: 1, .. }]).then_some(why)
        })
        .await;
        assert!(why.to_string().contains("another release"), "{why}");
        assert_eq!(new.run_due().await.unwrap().succeeded, 1);
        assert_eq!(journal.lines(), ["new retyped large"]);
        old.shutdown().await;
        new.shutdown().await;
    }
}
