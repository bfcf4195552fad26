//! A dashboard at an address of its own, with a pod and known calls behind it.

use std::net::SocketAddr;
use std::sync::Once;
use std::time::Duration;

use axum::Router;
use futurecall_dashboard::{Access, dashboard};
use futurecall_runtime::prelude::*;
use futurecall_runtime::signals::RunLogs;
use futurecall_runtime::{CallId, CallState, Config, ScheduleId};
use tokio::task::JoinHandle;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sets `window.ran` wherever it is taken for markup, an attribute, or a template.
pub const HOSTILE: &str =
    "\"'><script>window.ran=1</script><img src=x onerror=window.ran=1>{{window.ran=1}}</title>\u{202e}txt";

const HOUR: Duration = Duration::from_hours(1);

/// Mails.
#[derive(Debug)]
pub struct MailFutureCall;

#[future_call]
impl MailFutureCall {
    /// Ends well.
    pub async fn welcome(_session: &Session, _account: i64, #[future_call(redact)] _link: &str) {}

    /// Ends well, too: there are many of it.
    pub async fn digest(_session: &Session, _account: i64) {}

    /// Fails, and says and logs why.
    pub async fn bounce(_session: &Session, text: String) -> Result<(), BoxError> {
        tracing::warn!("could not send: {text}");
        Err(text.into())
    }

    /// Runs until it is told to end.
    pub async fn crawl(session: &Session) {
        session.cancelled().await;
    }

    /// Recurs.
    pub async fn nightly(_session: &Session, _text: String) {}
}

/// The dashboard, its pod, and what is behind it.
#[derive(Debug)]
pub struct Site {
    /// The pod behind it.
    pub pod: Pod,
    /// Where it stands, without a slash at the end.
    pub url: String,
    /// Calls and schedules to look at and to act on.
    pub known: Known,
    server: JoinHandle<()>,
}

/// What stands in the database at the start.
#[derive(Clone, Debug)]
pub struct Known {
    /// Five calls of `mail.welcome`, due in an hour.
    pub pending: Vec<CallId>,
    /// A call that failed, with a hostile text for everything that takes one.
    pub failed: CallId,
    /// A call that ended well.
    pub succeeded: CallId,
    /// A call that runs until it is cancelled.
    pub running: CallId,
    /// A schedule whose next run is far away.
    pub schedule: ScheduleId,
}

/// How many calls of `mail.digest` wait: more than a page holds.
pub const DIGESTS: usize = 60;

impl Site {
    /// Opens the dashboard of a fresh database.
    ///
    /// # Panics
    ///
    /// If the database or the network do not do as they are told.
    pub async fn start(database_url: &str, schema: &str) -> Self {
        static LOGS: Once = Once::new();
        LOGS.call_once(|| tracing_subscriber::registry().with(RunLogs::new()).init());
        let pod = Pod::builder()
            .database_url(database_url)
            .schema(schema)
            .config(Config::new().keep_logs(4_096))
            .without_discovery()
            .register(MailFutureCall)
            .start()
            .await
            .expect("the pod starts");
        let known = fill(&pod).await;
        // Both must agree: somebody on this machine, whom the authorizer calls by a name that is to be shown as it is.
        let open = dashboard(&pod)
            .title("Acme & Söhne")
            .loopback_only()
            .authorize(|_: &_| Access::operator("ada <b>"));
        let app = Router::new().nest("/ops/calls", open.into_router());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await.expect("it serves") });
        Self { pod, url: format!("http://127.0.0.1:{port}/ops/calls"), known, server }
    }

    /// The pages to look at, by what stands behind the dashboard's address.
    pub fn pages(&self) -> Vec<String> {
        let Known { pending, failed, succeeded, running, schedule } = &self.known;
        let mut pages: Vec<String> = [
            "",
            "/overview",
            "/calls",
            "/calls?state=scheduled&limit=20",
            "/calls?state=due",
            "/calls?state=running",
            "/calls?state=succeeded",
            "/calls?state=failed",
            "/calls?state=interrupted",
            "/calls?name=mail.digest",
            "/calls?error=window&since=2020-01-01",
            "/timeline",
            "/timeline?horizon=hour",
            "/timeline?horizon=week",
            "/schedules",
            "/schedules?state=paused",
            "/types",
            "/type?name=mail.welcome",
            "/type?name=mail.bounce",
            "/pods",
            "/health",
            "/actions",
        ]
        .map(str::to_owned)
        .to_vec();
        pages.extend([&pending[0], failed, succeeded, running].map(|id| format!("/calls/{id}")));
        pages.push(format!("/schedules/{schedule}"));
        pages
    }

    /// Waits until a call is in that state.
    ///
    /// # Panics
    ///
    /// If it is not within half a minute.
    pub async fn until(&self, id: CallId, state: CallState) {
        until(&self.pod, id, state).await;
    }

    /// Ends the server and the pod.
    pub async fn stop(self) {
        self.server.abort();
        self.pod.shutdown().await;
    }
}

async fn until(pod: &Pod, id: CallId, state: CallState) {
    let look = async {
        while pod
            .inspect()
            .call(id)
            .await
            .expect("the database answers")
            .is_none_or(|call| call.state != state)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), look).await;
    waited.unwrap_or_else(|_| panic!("call {id} has not come to be {state:?}"));
}

async fn fill(pod: &Pod) -> Known {
    const STORED: &str = "a call can be stored";
    let calls = pod.future_calls();
    let mut pending = Vec::new();
    for account in 0..5 {
        let call = calls.call_with_delay(HOUR).identifier(format!("account:{account}"));
        pending.push(call.mail().welcome(account, "https://acme.example/?key=s3cret").await.expect(STORED));
    }
    let many = (0..).take(DIGESTS).map(|account| calls.call_with_delay(2 * HOUR).mail().digest(account));
    calls.schedule_all(many).await.expect(STORED);
    let failed = calls.call_now().identifier(HOSTILE).mail().bounce(HOSTILE.to_owned()).await.expect(STORED);
    let succeeded =
        calls.call_now().mail().welcome(7, "https://acme.example/?key=s3cret").await.expect(STORED);
    let running = calls.call_now().identifier("crawl").mail().crawl().await.expect(STORED);
    // Nobody knows its name, which is late for ever, and stands among others.
    pod.future_call_with_delay("<b>.<i>", Some(&HOSTILE), Duration::ZERO).await.expect(STORED);

    let recurring = calls.call_recurring().identifier(HOSTILE).cron("30 2 1 1 *").time_zone("Europe/Berlin");
    recurring.mail().nightly(HOSTILE.to_owned()).await.expect(STORED);
    let schedules = pod.inspect().schedules().await.expect("the database answers");
    until(pod, failed, CallState::Failed).await;
    until(pod, succeeded, CallState::Succeeded).await;
    until(pod, running, CallState::Running).await;
    Known { pending, failed, succeeded, running, schedule: schedules[0].id }
}
