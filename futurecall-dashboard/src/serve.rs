//! From a request to its answer: who asks, for what, and what every answer carries.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::access::{Access, Right};
use crate::assets;
use crate::csrf;
use crate::error_page::Failure;
use crate::pages;
use crate::params::Params;
use crate::request_context::{Base, Theme, Visit};
use crate::shared_state::Desk;

/// The longest query: every filter filled to its brim stands in it.
const LONGEST_QUERY: usize = 4_096;
/// The longest path: an id and some words.
const LONGEST_PATH: usize = 512;
/// The largest form: a page of chosen calls, and a reason.
const LARGEST_FORM: usize = 64 * 1_024;

/// What never leaves a page: nothing is loaded from elsewhere, nothing runs that is not in a file of this binary.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Answers a request.
pub(crate) async fn serve(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let original = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let base = Base::of(original.path(), parts.uri.path());
    let json = wants_json(&parts);
    let theme = Theme::of(&parts.headers);
    let mut response = match answer(&desk, &parts, body, &base, json, theme).await {
        Ok(response) => response,
        Err(failure) => failure.response(&desk.title, &base, json, theme),
    };
    protect(response.headers_mut());
    response
}

/// What every answer carries. Only what names its own content may be kept by a cache.
fn protect(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(VARY).or_insert(HeaderValue::from_static("accept, cookie"));
}

async fn answer(
    desk: &Arc<Desk>,
    parts: &Parts,
    body: Body,
    base: &Base,
    json: bool,
    theme: Theme,
) -> Result<Response, Failure> {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    if path.len() > LONGEST_PATH || query.len() > LONGEST_QUERY {
        return Err(Failure::TooLong(StatusCode::URI_TOO_LONG, "The address is too long."));
    }
    let reads = is_read(parts);
    // Exactly these two: they say nothing but yes or no, and probes have no names.
    match path {
        "/health/live" if reads && stands_alone(parts) => return Ok(plain(StatusCode::OK, "live\n")),
        "/health/ready" if reads && stands_alone(parts) => return Ok(ready(desk).await),
        _ => {}
    }
    if let Some(asset) = assets::find(path).filter(|_| reads) {
        return Ok(asset);
    }
    let access = admit(desk, parts)?;
    let params = Params::parse(query.as_bytes())?;
    let visit = Visit::begin(desk, access.clone(), base.clone(), params, json, theme);
    let answered = async { show_or_act(desk, parts, body, visit.await?).await };
    answered.await.map_err(|failure| failure.for_visitor(&access))
}

/// Answers a visitor who was let in.
async fn show_or_act(desk: &Desk, parts: &Parts, body: Body, visit: Visit) -> Result<Response, Failure> {
    let page = parts.uri.path().trim_start_matches('/');
    let segments: Vec<&str> = page.strip_suffix(".json").unwrap_or(page).split('/').collect();
    if is_read(parts) {
        return pages::show(&visit, &segments).await;
    }
    if parts.method != Method::POST {
        return Err(Failure::Method("GET, HEAD, POST"));
    }
    let form = form(desk, parts, body, &visit).await?;
    pages::act(&visit, &segments, &form).await
}

fn is_read(parts: &Parts) -> bool {
    parts.method == Method::GET || parts.method == Method::HEAD
}

/// Whether the path is what it says to the letter: on its way here, the router takes two slashes for one.
fn stands_alone(parts: &Parts) -> bool {
    let original = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    original.path().strip_suffix(parts.uri.path()).is_some_and(|mount| !mount.ends_with('/'))
}

/// Who asks. The dashboard's own conditions come first, so that an authorizer need not know of them.
fn admit(desk: &Desk, parts: &Parts) -> Result<Access, Failure> {
    if desk.loopback_only {
        csrf::from_this_machine(parts).map_err(|why| Failure::Refused(why.to_owned()))?;
    }
    let access = match &desk.authorizer {
        Some(authorizer) => authorizer.authorize(parts),
        None if desk.loopback_only => Access::operator("local"),
        None => {
            return Err(Failure::Refused(
                "Nobody has opened it yet. Give it an authorizer, `dashboard(&pod).authorize(…)`, which says who a \
                 visitor is and what they may do; or, for this machine alone, `.loopback_only()`."
                    .to_owned(),
            ));
        }
    };
    if !access.allows(Right::View) {
        return Err(Failure::Refused("You have no right to see it.".to_owned()));
    }
    Ok(if desk.read_only { access.read_only() } else { access })
}

/// The form of a request that changes something, once it is sure that a page of ours has sent it.
async fn form(desk: &Desk, parts: &Parts, body: Body, visit: &Visit) -> Result<Params, Failure> {
    if !csrf::from_the_same_origin(parts) {
        return Err(Failure::Forbidden(
            "Changes are taken from the dashboard's own pages alone, and this request came from elsewhere."
                .to_owned(),
        ));
    }
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(Failure::TooLong(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send a form."));
    }
    let bytes = to_bytes(body, LARGEST_FORM)
        .await
        .map_err(|_| Failure::TooLong(StatusCode::PAYLOAD_TOO_LARGE, "The form is too large."))?;
    let form = Params::parse(&bytes)?;
    if !desk.seal.holds("form", visit.access.actor(), form.get("token").unwrap_or_default()) {
        return Err(Failure::Forbidden(
            "The form was not made for you by this server, or before it started. Go back, load the page again, and \
             send it from there."
                .to_owned(),
        ));
    }
    Ok(form)
}

/// `….json`, or a program that asks for it. A browser's own list always names HTML.
fn wants_json(parts: &Parts) -> bool {
    let accept = parts.headers.get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    parts.uri.path().strip_suffix(".json").is_some()
        || (accept.contains("application/json") && !accept.contains("text/html"))
}

async fn ready(desk: &Desk) -> Response {
    if desk.ready.check(&desk.pod).await {
        plain(StatusCode::OK, "ready\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
