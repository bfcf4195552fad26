//! Handles a request: admission, routing, and the security headers of every response.

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
use crate::request_context::{Base, RequestContext, Theme};
use crate::shared_state::SharedState;

/// The longest query, in bytes: enough for every filter at its full length.
const LONGEST_QUERY: usize = 4_096;
/// The longest path, in bytes.
const LONGEST_PATH: usize = 512;
/// The largest form, in bytes: a page of selected calls and a reason.
const LARGEST_FORM: usize = 64 * 1_024;

/// Allows only scripts and styles that this binary serves, and no other origin.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Handles a request.
pub(crate) async fn serve(State(shared): State<Arc<SharedState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let original = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let base = Base::of(original.path(), parts.uri.path());
    let json = wants_json(&parts);
    let theme = Theme::of(&parts.headers);
    let mut response = match answer(&shared, &parts, body, &base, json, theme).await {
        Ok(response) => response,
        Err(failure) => failure.response(&shared.title, &base, json, theme),
    };
    protect(response.headers_mut());
    response
}

/// Sets the headers of every response. Caching is off unless a response has set it, as assets do.
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
    shared: &Arc<SharedState>,
    parts: &Parts,
    body: Body,
    base: &Base,
    json: bool,
    theme: Theme,
) -> Result<Response, Failure> {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    if path.len() > LONGEST_PATH || query.len() > LONGEST_QUERY {
        return Err(Failure::TooLong(StatusCode::URI_TOO_LONG, "The URL is too long."));
    }
    let reads = is_read(parts);
    // Probes carry no credentials, and these two paths reveal nothing but yes or no.
    match path {
        "/health/live" if reads && is_exact_path(parts) => return Ok(plain(StatusCode::OK, "live\n")),
        "/health/ready" if reads && is_exact_path(parts) => return Ok(ready(shared).await),
        _ => {}
    }
    if let Some(asset) = assets::find(path).filter(|_| reads) {
        return Ok(asset);
    }
    let access = admit(shared, parts)?;
    let params = Params::parse(query.as_bytes())?;
    let ctx = RequestContext::begin(shared, access.clone(), base.clone(), params, json, theme);
    let answered = async { show_or_act(shared, parts, body, ctx.await?).await };
    answered.await.map_err(|failure| failure.for_user(&access))
}

/// Handles an admitted request.
async fn show_or_act(
    shared: &SharedState,
    parts: &Parts,
    body: Body,
    ctx: RequestContext,
) -> Result<Response, Failure> {
    let page = parts.uri.path().trim_start_matches('/');
    let segments: Vec<&str> = page.strip_suffix(".json").unwrap_or(page).split('/').collect();
    if is_read(parts) {
        return pages::show(&ctx, &segments).await;
    }
    if parts.method != Method::POST {
        return Err(Failure::Method("GET, HEAD, POST"));
    }
    let form = form(shared, parts, body, &ctx).await?;
    pages::act(&ctx, &segments, &form).await
}

fn is_read(parts: &Parts) -> bool {
    parts.method == Method::GET || parts.method == Method::HEAD
}

/// Returns whether the path was requested literally: the router collapses two slashes into one.
fn is_exact_path(parts: &Parts) -> bool {
    let original = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    original.path().strip_suffix(parts.uri.path()).is_some_and(|mount| !mount.ends_with('/'))
}

/// Authorizes a request. `loopback_only` is checked before the authorizer.
fn admit(shared: &SharedState, parts: &Parts) -> Result<Access, Failure> {
    if shared.loopback_only {
        csrf::from_this_machine(parts).map_err(|why| Failure::Refused(why.to_owned()))?;
    }
    let access = match &shared.authorizer {
        Some(authorizer) => authorizer.authorize(parts),
        None if shared.loopback_only => Access::operator("local"),
        None => {
            return Err(Failure::Refused(
                "The dashboard has no authorizer. Add one with `dashboard(&pod).authorize(…)` to decide who may see and \
                 do what, or use `.loopback_only()` to allow access from this machine only."
                    .to_owned(),
            ));
        }
    };
    if !access.allows(Right::View) {
        return Err(Failure::Refused("You are not allowed to see this dashboard.".to_owned()));
    }
    Ok(if shared.read_only { access.read_only() } else { access })
}

/// Reads the form of a POST request after checking its origin and its CSRF token.
async fn form(
    shared: &SharedState,
    parts: &Parts,
    body: Body,
    ctx: &RequestContext,
) -> Result<Params, Failure> {
    if !csrf::from_the_same_origin(parts) {
        return Err(Failure::Forbidden(
            "Changes are only accepted from the dashboard's own pages. This request came from another origin."
                .to_owned(),
        ));
    }
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(Failure::TooLong(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Expected a form (application/x-www-form-urlencoded).",
        ));
    }
    let bytes = to_bytes(body, LARGEST_FORM)
        .await
        .map_err(|_| Failure::TooLong(StatusCode::PAYLOAD_TOO_LARGE, "The form is too large."))?;
    let form = Params::parse(&bytes)?;
    if !shared.signer.verify("form", ctx.access.actor(), form.get("token").unwrap_or_default()) {
        return Err(Failure::Forbidden(
            "The form has expired or was made for another user. Go back, reload the page and submit the form again."
                .to_owned(),
        ));
    }
    Ok(form)
}

/// Returns whether the client asked for JSON, by `.json` or by `Accept`. Browsers always accept HTML.
fn wants_json(parts: &Parts) -> bool {
    let accept = parts.headers.get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    parts.uri.path().strip_suffix(".json").is_some()
        || (accept.contains("application/json") && !accept.contains("text/html"))
}

async fn ready(shared: &SharedState) -> Response {
    if shared.ready.check(&shared.pod).await {
        plain(StatusCode::OK, "ready\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
