//! What people with bad intentions try.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futurecall_dashboard::Access;

use crate::site::{HOUR, Site, form, get};

/// Markup that would run, an attribute that would end, and characters that would deceive.
const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}&#x3c;\u{202e}fdp";

fn assert_harmless(text: &str, page: &str) {
    for bad in ["<script>alert", "<img", "onerror=alert(1)>", "<b>evil"] {
        assert!(!text.contains(bad), "{page} holds {bad}: {text}");
    }
    // A field gives back to the letter what was filled in; there it moves nothing but itself.
    let outside_of_fields =
        text.split(" value=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest));
    for (n, part) in outside_of_fields.enumerate() {
        let part = if n == 0 { text.split(" value=\"").next().unwrap() } else { part };
        assert!(!part.contains('\u{202e}'), "{page} turns its text around: {part}");
    }
    // Nothing that the policy forbids anyway: scripts and styles stand in files, handlers nowhere.
    assert_eq!(text.matches("<script").count(), 1, "{page}");
    for bad in [" style=", "<style", " onclick=", " onload=", "javascript:"] {
        assert!(!text.contains(bad), "{page} holds {bad}");
    }
}

#[tokio::test]
async fn script_in_any_text_is_text() {
    let actor = format!("<b>evil{EVIL}");
    let site =
        Site::with(|dashboard| dashboard.title(EVIL).authorize(move |_: &_| Access::operator(&actor))).await;
    let name = format!("evil.{EVIL}");
    let plain = EVIL.replace('\u{202e}', "");
    let data = [EVIL.to_owned()];
    let id = site.pod.future_call_with_delay(&plain, Some(&data), HOUR).identifier(&plain).await.unwrap();
    site.pod.future_call_with_delay(&name, Some(&data), Duration::ZERO).identifier(EVIL).await.unwrap();
    let failed = site.failed(EVIL).await;
    site.pod.operate(EVIL).pause_name(&plain, EVIL).await.unwrap();
    site.pod.operate(EVIL).run_now(futurecall_runtime::operate::Selection::call(id)).await.unwrap();
    let mut pages: Vec<String> =
        ["/overview", "/calls", "/timeline", "/schedules", "/types", "/pods", "/health", "/actions"]
            .map(str::to_owned)
            .to_vec();
    pages.extend([format!("/calls/{id}"), format!("/calls/{failed}")]);
    let query = |name: &str, value: &str| {
        form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
    };
    for field in ["name", "identifier", "error"] {
        pages.push(format!("/calls?{}", query(field, EVIL)));
    }
    pages.push(format!("/schedules?{}", query("q", EVIL)));
    pages.push(format!("/type?{}", query("name", &plain)));
    for page in pages {
        assert_harmless(&site.page(&page).await, &page);
    }
    // What is refused is quoted, and harmless as well.
    for page in [
        "/calls?state",
        "/calls?since",
        "/calls?pod",
        "/calls?after",
        "/timeline?horizon",
        "/types?window",
        "/schedules?state",
    ] {
        let (path, field) = page.split_once('?').unwrap();
        let answer = site.get(&format!("{path}?{}", query(field, EVIL))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{page}");
        assert_harmless(&answer.text, page);
    }
    let answer = site.get(&format!("/type?{}", query("name", "<script>alert(2)</script>"))).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_harmless(&answer.text, "an unknown name");
    let question = site.post("/calls/confirm", &[("verb", "cancel"), ("all", "1"), ("name", EVIL)]).await;
    assert_harmless(&question.text, "the question");
}

#[tokio::test]
async fn other_sites_cannot_change_anything() {
    let site = Site::new().await;
    let id = site.later("mail.send", "x").await.to_string();
    let token = site.token().await;
    let fields = [("token", token.as_str()), ("verb", "cancel"), ("id", &id), ("expected", "1")];
    let send = |headers: &[(&str, &str)]| {
        let mut request = form("/ops/futurecalls/calls/act", &fields);
        request.headers_mut().remove("sec-fetch-site");
        for (name, value) in headers {
            request
                .headers_mut()
                .append(axum::http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        request
    };
    for headers in [
        vec![],
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "none")],
        vec![("sec-fetch-site", "cross-site"), ("origin", "http://ops.example")],
        vec![("origin", "http://evil.example")],
        vec![("origin", "null")],
        vec![("origin", "http://ops.example.evil.example")],
        vec![("origin", "http://ops.example:81")],
        vec![("origin", "http://evil.example"), ("origin", "http://ops.example")],
        vec![("referer", "http://evil.example/ops.example")],
        vec![("host", "evil.example"), ("origin", "http://ops.example")],
    ] {
        let answer = site.ask(send(&headers)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(site.pod.inspect().counts().await.unwrap().scheduled, 1);
    for headers in [
        vec![("origin", "http://ops.example")],
        vec![("referer", "https://OPS.example/ops/futurecalls/calls")],
    ] {
        let answer = site.ask(send(&headers)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{headers:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_user() {
    let site = Site::with(|dashboard| {
        dashboard.authorize(|parts: &axum::http::request::Parts| {
            let user = parts.headers.get("x-user").and_then(|user| user.to_str().ok());
            Access::operator(user.unwrap_or("ada"))
        })
    })
    .await;
    let id = site.later("mail.send", "x").await.to_string();
    let own = site.token().await;
    let send = |token: &str, user: &'static str| {
        let fields = [("token", token), ("verb", "cancel"), ("id", &id), ("expected", "1")];
        let mut request = form("/ops/futurecalls/calls/act", &fields);
        request.headers_mut().insert("x-user", user.parse().unwrap());
        request
    };
    for (token, user) in
        [("", "ada"), ("0".repeat(64).as_str(), "ada"), (own.as_str(), "bob"), (&own[1..], "ada")]
    {
        assert_eq!(site.ask(send(token, user)).await.status, StatusCode::FORBIDDEN, "{token} of {user}");
    }
    assert_eq!(site.ask(send(&own, "ada")).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn reading_changes_nothing_and_only_posting_changes() {
    let site = Site::new().await;
    let id = site.later("mail.send", "x").await;
    let token = site.token().await;
    for page in [
        format!("/calls/act?verb=cancel&id={id}&expected=1&token={token}"),
        format!("/types/act?verb=pause&name=a&token={token}"),
    ] {
        assert_eq!(site.get(&page).await.status, StatusCode::METHOD_NOT_ALLOWED, "{page}");
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let request = Request::builder()
            .method(method.clone())
            .uri("/ops/futurecalls/calls/act")
            .body(Body::empty())
            .unwrap();
        let answer = site.ask(request).await;
        assert_eq!(
            (answer.status, answer.headers.contains_key("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, true),
            "{method}"
        );
    }
    // A form in another dress could be sent across sites without asking first.
    let mut request = form(
        "/ops/futurecalls/calls/act",
        &[("token", &token), ("verb", "cancel"), ("id", &id.to_string()), ("expected", "1")],
    );
    request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(site.ask(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(site.pod.inspect().counts().await.unwrap().scheduled, 1);
}

#[tokio::test]
async fn a_forged_link_shows_no_notice() {
    let site = Site::new().await;
    let id = site.later("mail.send", "x").await;
    let page =
        site.page(&format!("/calls/{id}?notice=All+your+calls+are+gone&signature={}", "0".repeat(64))).await;
    assert!(!page.contains("All your calls are gone"));
    let result = site
        .get(
            "/calls/result?verb=delete&done=9000&running=0&passed_over=0&list=calls&notice=gone&signature=00",
        )
        .await;
    assert_eq!(result.status, StatusCode::NOT_FOUND);
    assert!(!result.text.contains("9,000"));
}

#[tokio::test]
async fn oversized_requests_are_refused_before_any_query() {
    let site = Site::new().await;
    let token = site.token().await;
    for (page, status) in [
        (format!("/calls?name={}", "x".repeat(5_000)), StatusCode::URI_TOO_LONG),
        (format!("/calls?error={}", "x".repeat(1_100)), StatusCode::BAD_REQUEST),
        (format!("/calls?{}", "a=1&".repeat(1_020)), StatusCode::BAD_REQUEST),
        (format!("/{}", "x".repeat(600)), StatusCode::URI_TOO_LONG),
        (format!("/calls/{}", "../".repeat(50)), StatusCode::NOT_FOUND),
        ("/calls?limit=99999999999999999999".to_owned(), StatusCode::BAD_REQUEST),
        ("/calls?after=1%00".to_owned(), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(site.get(&page).await.status, status, "{}", &page[..page.len().min(60)]);
    }
    let ids = "a".repeat(70_000);
    let answer = site.ask(form("/ops/futurecalls/calls/confirm", &[("token", &token), ("id", &ids)])).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    // Texts that a database cannot hold are answered, one way or the other.
    for page in [
        "/calls?name=%00",
        "/calls?identifier=%00%ff",
        "/type?name=%00",
        "/calls?error=%00",
        "/schedules?q=%00",
    ] {
        let answer = site.get(page).await;
        assert!(
            answer.status.is_success() || answer.status.is_client_error() || answer.status.as_u16() == 503,
            "{page}: {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn paths_lead_nowhere_but_to_pages() {
    let site = Site::new().await;
    for page in [
        "/assets/../Cargo.toml",
        "/assets/x/../../lib.rs",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/",
        "/assets/0/",
        "/assets/0/secret",
        "/calls/%2e%2e",
        "/calls//",
        "/.env",
        "/calls/confirm/x",
        "/overview/x",
        "//evil.example/",
        "/calls.json.json.html",
    ] {
        let answer = site.get(page).await;
        assert!(matches!(answer.status, StatusCode::NOT_FOUND), "{page}: {}", answer.status);
    }
}

#[tokio::test]
async fn assets_are_kept_by_their_content_alone() {
    let site = Site::new().await;
    let page = site.page("/overview").await;
    for (attribute, kind) in [("src", "text/javascript; charset=utf-8"), ("href", "text/css; charset=utf-8")]
    {
        let links = crate::site::attributes(&page, attribute);
        let link = links.iter().find(|link| link.contains("assets/")).unwrap();
        let answer = site.get(link.trim_start_matches('.')).await;
        assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (StatusCode::OK, kind));
        assert_eq!(answer.headers["cache-control"], "public, max-age=31536000, immutable");
    }
    let other = site.ask(get("/ops/futurecalls/assets/0123456789abcdef/dashboard.js")).await;
    assert_eq!(
        (other.status, other.headers["cache-control"].to_str().unwrap()),
        (StatusCode::OK, "no-store")
    );
    let script = include_str!("../../src/assets/dashboard.js");
    assert!(script.lines().count() <= 300, "one small script");
    for bad in ["innerHTML", "eval(", "new Function", "document.write", "insertAdjacentHTML"] {
        assert!(!script.contains(bad), "{bad}");
    }
}
