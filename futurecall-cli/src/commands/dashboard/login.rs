//! HTTP basic authentication with throttling of wrong passwords.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, COOKIE, HeaderMap, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futurecall_dashboard::Access;

use super::throttle::Throttle;

/// The user name that was sent with the right password.
#[derive(Clone, Debug)]
struct User(String);

/// The password and the session cookie.
pub(super) struct Login {
    password: String,
    /// The name of users who send none.
    actor: String,
    /// The cookie of browsers that sent the password. They are not throttled when others at the same address (behind the
    /// same proxy) guess passwords.
    session: String,
    throttle: Throttle,
}

const SESSION: &str = "futurecall-session";

impl Login {
    pub(super) fn new(password: String, actor: String) -> Self {
        let session = uuid::Uuid::new_v4().simple().to_string();
        Self { password, actor, session, throttle: Throttle::default() }
    }

    pub(super) fn actor(&self) -> &str {
        &self.actor
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == SESSION && same(value.as_bytes(), self.session.as_bytes()))
    }
}

/// Refuses requests without the password, except for health probes.
pub(super) async fn require_password(
    State(login): State<Arc<Login>>,
    mut request: Request,
    next: Next,
) -> Response {
    if matches!(request.uri().path(), "/health/live" | "/health/ready") {
        return next.run(request).await;
    }
    if request.headers().get(AUTHORIZATION).is_none() {
        return refusal();
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let from = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let has_session = login.has_session(request.headers());
    let now = Instant::now();
    if !has_session && let Some(wait) = login.throttle.wait(from, now) {
        return too_many(wait);
    }
    let Some(user) = user(request.headers(), &login) else {
        login.throttle.wrong(from, now);
        return refusal();
    };
    request.extensions_mut().insert(user);
    let mut response = next.run(request).await;
    if !has_session
        && let Ok(cookie) =
            HeaderValue::from_str(&format!("{SESSION}={}; Path=/; HttpOnly; SameSite=Strict", login.session))
    {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

fn refusal() -> Response {
    let basic = HeaderValue::from_static("Basic realm=\"futurecall\", charset=\"UTF-8\"");
    let headers = [(WWW_AUTHENTICATE, basic), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::UNAUTHORIZED, headers, "Authentication required.\n").into_response()
}

fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let headers =
        [(RETRY_AFTER, HeaderValue::from(seconds)), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    let text = format!("Too many wrong passwords. Try again in {seconds} s.\n");
    (StatusCode::TOO_MANY_REQUESTS, headers, text).into_response()
}

pub(super) fn authorize(request: &Parts) -> Access {
    match request.extensions.get::<User>() {
        Some(User(name)) => Access::operator(name),
        None => Access::refused(),
    }
}

fn user(headers: &HeaderMap, login: &Login) -> Option<User> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, code) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(code.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    let name = if name.trim().is_empty() { &login.actor } else { name };
    same(password.as_bytes(), login.password.as_bytes()).then(|| User(name.to_owned()))
}

/// Compares in constant time.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(header: &str) -> Option<String> {
        let login = Login::new("pass:word".to_owned(), "ada".to_owned());
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        user(&headers, &login).map(|User(name)| name)
    }

    #[test]
    fn only_the_right_password_is_accepted() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(seen(&basic("bob:pass:word")).as_deref(), Some("bob"));
        assert_eq!(seen(&basic(":pass:word")).as_deref(), Some("ada"));
        for refused in ["bob:pass:wore", "bob:pass", "bob:", "pass:word", "bob:pass:word2"] {
            assert_eq!(seen(&basic(refused)), None, "{refused}");
        }
        for refused in ["Bearer pass:word", "Basic", "Basic !!!", "basic"] {
            assert_eq!(seen(refused), None, "{refused}");
        }
    }
}
