//! The JSON of each page is what docs/JSON.md documents.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use crate::site::Site;

const DOCUMENT: &str = include_str!("../../docs/JSON.md");

/// Every field of every page is in the document.
#[tokio::test]
async fn every_field_is_documented() {
    let site = Site::new().await;
    let call = site.later("mail.send", "x").await;
    site.failed("boom 7").await;
    site.pod.operate("ada").pause_name("report.build", "why").await.unwrap();
    let schedule = crate::schedules::declare(
        &site.pod,
        futurecall_runtime::recurring::Rule::cron("0 7 * * *", "UTC").unwrap(),
    )
    .await;
    let mut pages = 0;
    for page in [
        "/overview.json",
        "/calls.json",
        "/timeline.json",
        "/schedules.json",
        "/types.json",
        "/type.json?name=mail.send",
        "/pods.json",
        "/health.json",
        "/actions.json",
        &format!("/calls/{call}.json"),
        &format!("/schedules/{schedule}.json"),
    ] {
        let json = site.json(page).await;
        let mut fields = Vec::new();
        names(&json, &mut fields);
        assert!(!fields.is_empty(), "{page}");
        for field in fields {
            assert!(DOCUMENT.contains(&format!("`{field}`")), "{page}: `{field}` is not in docs/JSON.md");
        }
        pages += 1;
    }
    assert_eq!(pages, 11);
}

fn names(json: &Value, into: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                into.push(name.clone());
                // Rules are in the runtime's own stored format.
                if name != "effective" && name != "declared" {
                    names(value, into);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, into)),
        _ => {}
    }
}

#[tokio::test]
async fn json_is_negotiated_by_header_and_errors_are_json() {
    let site = Site::new().await;
    let ask = |page: &str, accept: &str| {
        Request::get(format!("/ops/futurecalls{page}")).header("accept", accept).body(Body::empty()).unwrap()
    };
    for (page, accept, json) in [
        ("/calls", "application/json", true),
        ("/calls", "text/html,application/xhtml+xml,application/json;q=0.9", false),
        ("/calls", "*/*", false),
        ("/nothing", "application/json", true),
        ("/calls/7", "application/json", true),
    ] {
        let answer = site.ask(ask(page, accept)).await;
        assert_eq!(answer.headers["content-type"] == "application/json", json, "{page} {accept}");
        assert_eq!(serde_json::from_str::<Value>(&answer.text).is_ok(), json, "{page} {accept}");
    }
}

#[tokio::test]
async fn numbers_of_arguments_keep_every_digit() {
    let site = Site::new().await;
    let exact: Value = serde_json::from_str("[9007199254740993,18446744073709551615]").unwrap();
    let id =
        site.pod.future_call_with_delay("mail.send", Some(&exact), Duration::from_mins(1)).await.unwrap();
    let json = site.json(&format!("/calls/{id}.json")).await;
    assert_eq!(json["arguments_json"], r#"{"data":[9007199254740993,18446744073709551615]}"#);
}
