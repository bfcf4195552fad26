//! The service in this process, on a SQLite file.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode, header};
use futurecall_example::app::{App, DigestRule};
use futurecall_example::database::Database;
use futurecall_example::mailer::{Mailer, letter_ids};
use futurecall_example::web;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

const DAY: Duration = Duration::from_hours(24);

/// A service of one test's own.
struct Service {
    app: App,
    folder: TempDir,
}

impl Service {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("drip.db").display());
        let database = Database::connect(&url).await.unwrap();
        let mailer = Mailer::outbox(&folder.path().join("outbox")).unwrap();
        let digest = DigestRule::Cron("0 7 * * *".to_owned());
        let app = App::start(database, mailer, "futurecall", DAY, digest).await.unwrap();
        Self { app, folder }
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.request(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.request(Method::POST, path, body.map(|body| body.to_string())).await
    }

    async fn request(&self, method: Method, path: &str, body: Option<String>) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Body::empty, Body::from))
            .unwrap();
        let response = web::router(self.app.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// What the dashboard answers to that peer.
    async fn dashboard(&self, peer: [u8; 4], path: &str) -> (StatusCode, String, String) {
        let mut request =
            Request::get(path).header(header::HOST, "localhost:3000").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 40_000))));
        let response = web::router(self.app.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let location = response.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, location.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }

    /// What is still to come for the account, by the calls' names, the earliest first.
    async fn pending(&self, id: i64) -> Vec<String> {
        let (status, account) = self.get(&format!("/accounts/{id}")).await;
        assert_eq!(status, StatusCode::OK);
        let mut pending = account["pending"].as_array().unwrap().clone();
        pending.sort_by_key(|call| call["due"].as_str().unwrap().to_owned());
        pending.iter().map(|call| call["call"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for mails in the outbox, so many of them.
    async fn mails(&self, count: usize) -> Vec<String> {
        let wait = async {
            loop {
                // A file that is being written may not have its head yet.
                if let Ok(mails) = letter_ids(&self.folder.path().join("outbox"))
                    && mails.len() >= count
                {
                    return mails;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the mails come")
    }
}

fn ada() -> Value {
    json!({ "name": "Ada Lovelace", "email": "ada@example.org" })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_up_gets_the_first_mail_and_who_leaves_gets_no_more() {
    let service = Service::start().await;
    let (status, signed_up) = service.post("/signup", Some(ada())).await;
    assert_eq!(status, StatusCode::CREATED);
    let id = signed_up["id"].as_i64().unwrap();
    assert_eq!(signed_up["calls"].as_array().unwrap().len(), 4);

    let mails = service.mails(1).await;
    assert!(mails[0].starts_with(&format!("{id}.welcome.")), "{mails:?}");
    assert_eq!(mails[0].rsplit('.').next(), signed_up["calls"][0].as_str());
    assert_eq!(service.pending(id).await, ["drip.day_mail", "drip.week_mail", "drip.month_mail"]);
    let (_, health) = service.get("/health").await;
    assert_eq!(health["scheduled"], 4, "three mails and the next digest: {health}");

    let (status, left) = service.post(&format!("/unsubscribe/{id}"), None).await;
    assert_eq!((status, &left["cancelled"]), (StatusCode::OK, &json!(3)));
    assert_eq!(service.pending(id).await, Vec::<String>::new());
    let (_, account) = service.get(&format!("/accounts/{id}")).await;
    assert_eq!((&account["unsubscribed"], &account["name"]), (&json!(true), &json!("Ada Lovelace")));

    let (status, again) = service.post(&format!("/unsubscribe/{id}"), None).await;
    assert_eq!((status, &again["cancelled"]), (StatusCode::OK, &json!(0)));
    service.app.pod.shutdown().await;
    assert_eq!(service.mails(1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_changes_nothing_for_others() {
    let service = Service::start().await;
    let ids = [service.post("/signup", Some(ada())).await.1, service.post("/signup", Some(ada())).await.1];
    let [leaves, stays] = ids.map(|signed_up| signed_up["id"].as_i64().unwrap());
    service.mails(2).await;
    service.post(&format!("/unsubscribe/{leaves}"), None).await;
    assert_eq!(service.pending(stays).await.len(), 3);
    service.app.pod.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_says_why() {
    let service = Service::start().await;
    let cases = [
        (Method::POST, "/unsubscribe/7", None, StatusCode::NOT_FOUND, "there is no account 7"),
        (Method::GET, "/accounts/7", None, StatusCode::NOT_FOUND, "there is no account 7"),
        (Method::GET, "/accounts/ada", None, StatusCode::BAD_REQUEST, "Invalid URL"),
        (Method::POST, "/signup", Some("{"), StatusCode::BAD_REQUEST, "Failed to parse"),
        (Method::POST, "/signup", Some("{}"), StatusCode::UNPROCESSABLE_ENTITY, "missing field `name`"),
        (
            Method::POST,
            "/signup",
            Some(r#"{"name": " ", "email": "ada@example.org"}"#),
            StatusCode::UNPROCESSABLE_ENTITY,
            "name: 1 to 100 characters",
        ),
        (
            Method::POST,
            "/signup",
            Some(r#"{"name": "Ada", "email": "ada"}"#),
            StatusCode::UNPROCESSABLE_ENTITY,
            "email: ",
        ),
    ];
    for (method, path, body, status, error) in cases {
        let (got, answer) = service.request(method, path, body.map(str::to_owned)).await;
        assert_eq!(got, status, "{path} {answer}");
        let answer = answer["error"].as_str().unwrap();
        assert!(answer.contains(error), "{path}: {answer}");
    }
    let (_, health) = service.get("/health").await;
    assert_eq!(health["scheduled"], 1, "nothing but the next digest is scheduled: {health}");
    service.app.pod.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_its_calls_is_not_stored_either() {
    let service = Service::start().await;
    // A day so long that the month ends after the year 9999: the account is inserted, then the calls are refused.
    let app = App { day: Duration::from_hours(24 * 365 * 1_000), ..service.app.clone() };
    let refused = app.sign_up("Ada", "ada@example.org").await.unwrap_err();
    assert!(refused.to_string().contains("9999"), "{refused}");
    assert_eq!(service.get("/accounts/1").await.0, StatusCode::NOT_FOUND);
    service.app.pod.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_again_finds_what_was_scheduled_and_declares_no_second_digest() {
    let service = Service::start().await;
    let id = service.app.sign_up("Ada", "ada@example.org").await.unwrap().id;
    service.mails(1).await;
    service.app.pod.shutdown().await;

    let App { database, day, .. } = service.app.clone();
    let mailer = Mailer::outbox(&service.folder.path().join("outbox")).unwrap();
    let digest = DigestRule::Cron("0 7 * * *".to_owned());
    let app = App::start(database, mailer, "futurecall", day, digest).await.unwrap();
    assert_eq!(app.account(id).await.unwrap().1.len(), 3);
    assert_eq!(app.pod.inspect().schedules().await.unwrap().len(), 1);
    app.pod.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_this_machine_what_is_to_come_and_nobody_else() {
    const HERE: [u8; 4] = [127, 0, 0, 1];
    let service = Service::start().await;
    let signed_up = service.app.sign_up("Ada", "ada@example.org").await.unwrap();
    service.mails(1).await;

    let (status, to, _) = service.dashboard(HERE, "/futurecalls/").await;
    assert_eq!((status, to.as_str()), (StatusCode::PERMANENT_REDIRECT, "/futurecalls"));
    let (status, _, page) = service.dashboard(HERE, "/futurecalls").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("Drip mails") && page.contains("Signed in as <b>local</b>"), "{page}");

    let (status, _, page) = service.dashboard(HERE, "/futurecalls/calls.json?state=scheduled").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["matching"], 4, "three mails and the next digest: {page}");
    let listed: Vec<_> =
        page["calls"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap()).collect();
    assert!(signed_up.calls[1..].iter().all(|id| listed.contains(&id.to_string().as_str())), "{page}");

    let (status, _, page) = service.dashboard([192, 0, 2, 1], "/futurecalls/calls").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{page}");
    assert!(!page.contains("drip"), "{page}");
    service.app.pod.shutdown().await;
}
