//! A pod on the memory store, and a dashboard on it, without a network.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use futurecall_dashboard::{Access, Dashboard, dashboard};
use futurecall_runtime::prelude::*;
use futurecall_runtime::store::MemoryStore;
use futurecall_runtime::{CallId, Config, Role};
use serde_json::Value;
use tower::ServiceExt;

pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// Ends well, unless it is told what to say.
pub(crate) struct Say;

impl InvokableFutureCall for Say {
    type Data = String;

    async fn invoke(&self, _session: &Session, data: Option<String>) -> Result<(), BoxError> {
        data.map_or(Ok(()), |text| Err(text.into()))
    }
}

pub(crate) struct Site {
    pub(crate) pod: Pod,
    pub(crate) app: Router,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Site {
    /// Everybody is `ada`, who may do everything.
    pub(crate) async fn new() -> Self {
        Self::with(|dashboard| dashboard.authorize(|_: &_| Access::operator("ada"))).await
    }

    pub(crate) async fn with(set: impl FnOnce(Dashboard) -> Dashboard) -> Self {
        Self::on(MemoryStore::new(), set).await
    }

    pub(crate) async fn on(store: MemoryStore, set: impl FnOnce(Dashboard) -> Dashboard) -> Self {
        let pod = Pod::builder()
            .store(store)
            .without_discovery()
            .config(Config::new().keep_logs(4_096))
            .role(Role::Maintenance)
            .register(crate::schedules::TickFutureCall)
            .register_future_call("mail.send", Say)
            .register_future_call("report.build", Say)
            .start()
            .await
            .unwrap();
        let app = Router::new().nest("/ops/futurecalls", set(dashboard(&pod)).into_router());
        Self { pod, app }
    }

    pub(crate) async fn later(&self, name: &str, identifier: &str) -> CallId {
        self.pod.future_call_with_delay(name, None::<&String>, HOUR).identifier(identifier).await.unwrap()
    }

    /// A call that failed, saying that.
    pub(crate) async fn failed(&self, text: &str) -> CallId {
        let id = self.pod.future_call_with_delay("mail.send", Some(text), Duration::ZERO).await.unwrap();
        self.pod.run_due().await.unwrap();
        id
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        ask(&self.app, request).await
    }

    pub(crate) async fn get(&self, page: &str) -> Answer {
        self.ask(get(&format!("/ops/futurecalls{page}"))).await
    }

    /// A page that must be there.
    pub(crate) async fn page(&self, page: &str) -> String {
        let answer = self.get(page).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}: {}", answer.text);
        answer.text
    }

    pub(crate) async fn json(&self, page: &str) -> Value {
        let text = self.page(page).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{page}: {error}: {text}"))
    }

    /// Reads the CSRF token from a page.
    pub(crate) async fn token(&self) -> String {
        let text = self.page("/type?name=mail.send").await;
        between(&text, "name=\"token\" value=\"", "\"").to_owned()
    }

    /// A form as a browser sends it from one of our pages.
    pub(crate) async fn post(&self, page: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token().await;
        let mut all = vec![("token", token.as_str())];
        all.extend(fields);
        self.ask(form(&format!("/ops/futurecalls{page}"), &all)).await
    }

    /// The same, and the page that the browser is sent on to.
    pub(crate) async fn submit(&self, page: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(page, fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{page}: {}", answer.text);
        let to = resolve(&format!("/ops/futurecalls{page}"), answer.headers["location"].to_str().unwrap());
        let answer = self.ask(get(&to)).await;
        assert_eq!(answer.status, StatusCode::OK, "{to}: {}", answer.text);
        answer.text
    }
}

pub(crate) async fn ask(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "ops.example").body(Body::empty()).unwrap()
}

pub(crate) fn form(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", "ops.example")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap()
}

/// Where a relative link leads from a page, as a browser goes.
pub(crate) fn resolve(page: &str, link: &str) -> String {
    let page = page.split('?').next().unwrap();
    let mut folders: Vec<&str> = page.split('/').collect();
    folders.pop();
    let (path, query) = link.split_once('?').map_or((link, None), |(path, query)| (path, Some(query)));
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                folders.pop();
            }
            part => folders.push(part),
        }
    }
    query.map_or_else(|| folders.join("/"), |query| format!("{}?{query}", folders.join("/")))
}

pub(crate) fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    rest.split_once(end).unwrap().0
}

/// All values of an attribute, unescaped.
pub(crate) fn attributes(text: &str, name: &str) -> Vec<String> {
    let start = format!(" {name}=\"");
    let values = text.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap());
    values.map(|value| value.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")).collect()
}
