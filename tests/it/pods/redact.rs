//! Arguments that are hidden from people.

use futurecall_runtime::Role;
use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::inspect::Redaction;
use futurecall_runtime::prelude::*;
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::{Journal, eventually};
use futurecall_tests::on_all_stores;

struct LoginFutureCall;

#[future_call]
impl LoginFutureCall {
    #[future_call(alias = "old_login.mail")]
    pub(crate) async fn mail(
        _session: &Session,
        user: i64,
        #[future_call(redact, alias = "url")] link: &str,
        #[future_call(state)] journal: &Journal,
    ) {
        journal.write(format!("{user} {link}"));
    }

    pub(crate) async fn open(_session: &Session, _user: i64) {}
}

struct Secret(Journal);

impl InvokableFutureCall for Secret {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        self.0.write(data.unwrap_or_default());
        Ok(())
    }

    fn redact(&self) -> bool {
        true
    }
}

on_all_stores! {
    async fn what_a_pod_redacts_is_known_to_whoever_looks(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend
            .builder()
            .role(Role::Maintenance)
            .register(LoginFutureCall)
            .register_future_call("secret", Secret(journal.clone()))
            .state(journal.clone())
            .start()
            .await
            .unwrap();
        pod.future_calls().call_now().login().mail(7, "https://example.org/1").await.unwrap();
        pod.future_calls().call_now().login().open(7).await.unwrap();
        pod.future_call_with_delay("secret", Some("s3cret"), std::time::Duration::ZERO).await.unwrap();
        let older = serde_json::json!({"user": 8, "url": "https://example.org/2"});
        pod.future_call_with_delay("old_login.mail", Some(&older), std::time::Duration::ZERO).await.unwrap();

        // As another process looks, which knows no types.
        let viewer = backend.builder().role(Role::Serverless).start().await.unwrap();
        let pods = eventually("the pod says who it is", async || {
            Some(viewer.inspect().pods().await.unwrap()).filter(|pods| !pods.is_empty())
        })
        .await;
        let named: Vec<_> = pods[0].redacted.iter().map(|(name, keys)| (name.as_str(), keys.join(" "))).collect();
        let hidden = |text: &str| text.to_owned();
        assert_eq!(
            named,
            [("login.mail", hidden("link url")), ("old_login.mail", hidden("link url")), ("secret", hidden("data"))]
        );
        let redaction = Redaction::of(&pods);
        let calls = viewer.inspect().calls(CallFilter::new()).await.unwrap().calls;
        let mut shown: Vec<_> = calls.iter().map(|call| redaction.hide(&call.name, &call.args)).collect();
        shown.sort_unstable();
        assert_eq!(
            shown,
            [
                r#"{"data":"[redacted]"}"#,
                r#"{"data":{"url":"[redacted]","user":8}}"#,
                r#"{"user":7,"link":"[redacted]"}"#,
                r#"{"user":7}"#,
            ]
        );

        // Who runs the call is given all of it.
        assert_eq!(pod.run_due().await.unwrap().succeeded, 4);
        let mut lines = journal.lines();
        lines.sort_unstable();
        assert_eq!(lines, ["7 https://example.org/1", "8 https://example.org/2", "s3cret"]);
        viewer.shutdown().await;
        pod.shutdown().await;
    }
}
