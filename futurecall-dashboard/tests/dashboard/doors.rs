//! Access and rights.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use futurecall_dashboard::{Access, Right, dashboard};

use crate::site::{Site, ask, form, get};

#[tokio::test]
async fn it_is_closed_without_an_authorizer() {
    let site = Site::with(|dashboard| dashboard).await;
    let id = site.later("mail.send", "private").await;
    for page in ["", "/overview", "/calls", "/calls.json", "/live", "/nothing", "/pods"] {
        let answer = site.get(page).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{page}");
        assert!(answer.text.contains("authorize"), "the message explains what to do: {}", answer.text);
        assert!(!answer.text.contains("private") && !answer.text.contains(&id.to_string()));
    }
    // A peer on this machine is no better: behind a proxy, everybody is one.
    let answer = site.ask(from("127.0.0.1:5", "localhost", &[])).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

fn from(peer: &str, host: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get("/ops/futurecalls/overview").header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer: SocketAddr = peer.parse().unwrap();
    request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn loopback_only_means_this_machine_without_a_proxy() {
    let site = Site::with(futurecall_dashboard::Dashboard::loopback_only).await;
    for (peer, host) in
        [("127.0.0.1:5", "localhost:3000"), ("[::1]:5", "[::1]"), ("[::ffff:127.0.0.1]:5", "127.0.0.1")]
    {
        let answer = site.ask(from(peer, host, &[])).await;
        assert_eq!(answer.status, StatusCode::OK, "{peer}: {}", answer.text);
        assert!(answer.text.contains("local"));
    }
    for (peer, host, headers) in [
        ("10.0.0.7:5", "localhost", vec![]),
        ("[2001:db8::1]:5", "localhost", vec![]),
        ("127.0.0.1:5", "ops.example", vec![]),
        ("127.0.0.1:5", "localhost.evil.example", vec![]),
        ("127.0.0.1:5", "localhost", vec![("x-forwarded-for", "10.0.0.7")]),
        ("127.0.0.1:5", "localhost", vec![("forwarded", "for=10.0.0.7")]),
        ("127.0.0.1:5", "localhost", vec![("via", "1.1 proxy")]),
    ] {
        assert_eq!(
            site.ask(from(peer, host, &headers)).await.status,
            StatusCode::FORBIDDEN,
            "{peer} {host} {headers:?}"
        );
    }
    assert_eq!(site.get("/overview").await.status, StatusCode::FORBIDDEN, "who asks is not known");
}

#[tokio::test]
async fn an_authorizer_beside_loopback_must_agree_too() {
    let site = Site::with(|dashboard| dashboard.loopback_only().authorize(|_: &_| Access::refused())).await;
    assert_eq!(site.ask(from("127.0.0.1:5", "localhost", &[])).await.status, StatusCode::FORBIDDEN);
}

const VERBS: [(Right, &str); 5] = [
    (Right::Cancel, "cancel"),
    (Right::Reschedule, "reschedule"),
    (Right::RunNow, "run_now"),
    (Right::RunAgain, "run_again"),
    (Right::Delete, "delete"),
];

/// Each right opens its own action and no other; what is refused is not offered either.
#[tokio::test]
async fn every_action_asks_for_its_own_right() {
    for right in Right::ALL {
        let site = Site::with(|dashboard| {
            dashboard.authorize(move |_: &_| Access::viewer("bob").with(right)).secret("k".repeat(32))
        })
        .await;
        let operator = dashboard(&site.pod)
            .authorize(|_: &_| Access::operator("bob"))
            .secret("k".repeat(32))
            .into_router();
        let all = Site { pod: site.pod.clone(), app: Router::new().nest("/ops/futurecalls", operator) };
        let token = all.token().await;
        let (pending, failed) = (site.later("mail.send", "x").await, site.failed("boom").await);
        let pages = [format!("/calls/{pending}"), format!("/calls/{failed}"), "/calls".to_owned()];
        for (needed, verb) in VERBS {
            let fields = [
                ("token", token.as_str()),
                ("verb", verb),
                ("id", &pending.to_string()),
                ("expected", "0"),
                ("after", "1h"),
            ];
            for page in ["/calls/confirm", "/calls/act"] {
                let answer = site.ask(form(&format!("/ops/futurecalls{page}"), &fields)).await;
                let refused = answer.status == StatusCode::FORBIDDEN;
                assert_eq!(refused, needed != right, "{right:?} {verb} {page}: {}", answer.text);
            }
            let mut offered = false;
            for page in &pages {
                offered |= site.page(page).await.contains(&format!("name=\"verb\" value=\"{verb}\""));
            }
            // What was just done may have left nothing to do it to.
            assert!(needed == right || !offered, "{right:?} offers {verb}");
        }
        let fields = [("token", token.as_str()), ("verb", "pause"), ("name", "report.build")];
        let answer = site.ask(form("/ops/futurecalls/types/act", &fields)).await;
        assert_eq!(answer.status == StatusCode::FORBIDDEN, right != Right::Names, "{right:?}");
        let fields = [("token", token.as_str()), ("verb", "pause")];
        let page = format!("/ops/futurecalls/schedules/{}/act", futurecall_runtime::ScheduleId::new());
        let answer = site.ask(form(&page, &fields)).await;
        assert_eq!(answer.status == StatusCode::FORBIDDEN, right != Right::Schedules, "{right:?}");
    }
}

#[tokio::test]
async fn read_only_lets_nobody_change_anything() {
    let site = Site::with(|dashboard| {
        dashboard.read_only().secret("k".repeat(32)).authorize(|_: &_| Access::operator("ada"))
    })
    .await;
    let writer =
        dashboard(&site.pod).authorize(|_: &_| Access::operator("ada")).secret("k".repeat(32)).into_router();
    let token =
        Site { pod: site.pod.clone(), app: Router::new().nest("/ops/futurecalls", writer) }.token().await;
    let id = site.later("mail.send", "x").await;
    for page in
        ["/overview", "/calls", "/schedules", "/types", "/type?name=mail.send", &format!("/calls/{id}")]
    {
        let text = site.page(page).await;
        assert!(!text.contains("method=\"post\""), "{page}");
        assert!(text.contains("read only"), "{page}");
    }
    for (page, verb) in [("/calls/act", "cancel"), ("/calls/confirm", "delete"), ("/types/act", "pause")] {
        let id = id.to_string();
        let fields = [
            ("token", token.as_str()),
            ("verb", verb),
            ("id", &id),
            ("expected", "1"),
            ("name", "mail.send"),
        ];
        let answer = site.ask(form(&format!("/ops/futurecalls{page}"), &fields)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{page}");
    }
    assert_eq!(site.pod.inspect().counts().await.unwrap().scheduled, 1);
    assert!(
        site.pod
            .inspect()
            .actions(&futurecall_runtime::operate::ActionFilter::new())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn probes_need_no_user_and_reveal_nothing() {
    let site = Site::with(|dashboard| dashboard).await;
    for (page, text) in [("/health/live", "live\n"), ("/health/ready", "ready\n")] {
        let answer = site.get(page).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, text));
    }
    site.pod.shutdown().await;
    // Only these two, to the letter.
    for page in [
        "/health",
        "/health/",
        "/health/live/",
        "/health/live/x",
        "/health/liveness",
        "/x/health/live",
        "/HEALTH/LIVE",
        "/calls/health/live",
        "/health/live.json",
        "//health/live",
        "/health%2Flive",
        "/health/live%00",
        "/overview?x=/health/live",
    ] {
        let answer = site.get(page).await;
        assert!(
            matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND),
            "{page}: {} {}",
            answer.status,
            answer.text
        );
    }
    assert_eq!(ask(&site.app, get("/ops/futurecallshealth/live")).await.status, StatusCode::NOT_FOUND);
}

#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn database_errors_are_shown_to_users_who_can_act() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let of = |access: Access| Site::with(move |dashboard| dashboard.authorize(move |_: &_| access.clone()));
    let viewer = Access::viewer("bob").with(Right::SeeArguments);
    for (access, may_read) in [(viewer.clone(), false), (viewer.with(Right::Cancel), true)] {
        let site = of(access).await;
        // What a closed pod says stands for what a server says.
        site.pod.shutdown().await;
        for page in ["/overview", "/calls", "/calls.json", "/health", "/types"] {
            let answer = site.get(page).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{page}: {}", answer.text);
            assert_eq!(answer.text.contains("connections are closed"), may_read, "{page}: {}", answer.text);
            let reference = answer.text.split("reference number ").nth(1);
            assert_eq!(reference.is_some(), !may_read, "{page}: {}", answer.text);
            let Some(reference) = reference.map(|rest| rest[..8].to_owned()) else { continue };
            assert!(reference.chars().all(|digit| digit.is_ascii_hexdigit()), "{reference}");
            let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            let line = said.lines().find(|line| line.contains(&reference)).expect("it is in the log");
            assert!(line.contains("WARN") && line.contains("connections are closed"), "{line}");
        }
    }
}
