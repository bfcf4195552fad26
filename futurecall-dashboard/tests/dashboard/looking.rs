//! Every page shows what it should, and its links lead somewhere.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use futurecall_dashboard::{Access, Arguments, dashboard};
use futurecall_runtime::inspect::{Span, Statistics};
use futurecall_runtime::recurring::Rule;
use futurecall_runtime::signals::RunLogs;
use futurecall_runtime::store::MemoryStore;
use futurecall_runtime::store::prelude::*;
use futurecall_runtime::{Moment, PodId};
use futures_util::StreamExt;
use tower::ServiceExt;
use tracing_subscriber::prelude::*;

use crate::schedules::{TickCallsExt as _, declare};
use crate::site::{HOUR, Site, ask, attributes, get, resolve};

const PAGES: [&str; 10] = [
    "",
    "/overview",
    "/calls",
    "/timeline",
    "/schedules",
    "/types",
    "/pods",
    "/health",
    "/actions",
    "/type?name=mail.send",
];

async fn lively() -> Site {
    let site = Site::new().await;
    site.failed("no such mailbox 4711").await;
    site.failed("no such mailbox 12").await;
    for n in 0..3 {
        site.later("report.build", &format!("report:{n}")).await;
    }
    site.pod.future_call_with_delay("elsewhere.run", Some(&7), Duration::ZERO).await.unwrap();
    site
}

#[tokio::test]
async fn every_page_is_there_and_carries_what_guards_it() {
    let site = lively().await;
    for page in PAGES {
        for page in [page.to_owned(), json_of(page)] {
            let answer = site.get(&page).await;
            assert_eq!(answer.status, StatusCode::OK, "{page}: {}", answer.text);
            assert_guarded(&answer.headers, &page);
            assert_eq!(answer.headers["cache-control"], "no-store", "{page}");
        }
    }
}

#[tokio::test]
async fn every_answer_is_guarded_whatever_it_is() {
    let site = lively().await;
    for page in [
        "/nothing",
        "/calls/7",
        "/calls?state=x",
        "/health/live",
        "/health/ready",
        "/assets/0/dashboard.js",
        "/types/act",
    ] {
        let answer = site.get(page).await;
        assert_guarded(&answer.headers, page);
    }
    let answer = site.post("/calls/act", &[("verb", "cancel")]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_guarded(&answer.headers, "POST");
}

fn assert_guarded(headers: &axum::http::HeaderMap, page: &str) {
    assert_eq!(
        headers["content-security-policy"],
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "{page}"
    );
    assert_eq!(headers["x-content-type-options"], "nosniff", "{page}");
    assert_eq!(headers["referrer-policy"], "no-referrer", "{page}");
    assert_eq!(headers["x-frame-options"], "DENY", "{page}");
    assert!(headers.contains_key("cache-control"), "{page}");
}

fn json_of(page: &str) -> String {
    match page.split_once('?') {
        Some((path, query)) => format!("{path}.json?{query}"),
        None if page.is_empty() => "/overview.json".to_owned(),
        None => format!("{page}.json"),
    }
}

/// Walks from the root over every link, as a crawler would, under two mounts.
#[tokio::test]
async fn every_link_leads_somewhere_at_any_depth() {
    let site = lively().await;
    let id = site.later("report.build", "linked").await;
    declare(&site.pod, Rule::cron("0 7 * * *", "Europe/Berlin").unwrap()).await;
    site.pod.operate("ada").reschedule(futurecall_runtime::operate::Selection::call(id), HOUR).await.unwrap();
    for mount in ["/futurecalls", "/a/deep/place"] {
        let inner = dashboard(&site.pod).authorize(|_: &_| Access::operator("ada")).into_router();
        let app = Router::new().nest(mount, inner);
        let mut seen = BTreeSet::from([mount.to_owned()]);
        let mut open = vec![mount.to_owned()];
        while let Some(page) = open.pop() {
            let answer = ask(&app, get(&page)).await;
            assert_eq!(answer.status, StatusCode::OK, "{page}");
            let mut links = attributes(&answer.text, "href");
            links.extend(attributes(&answer.text, "src"));
            for link in links.into_iter().filter(|link| !link.starts_with('#') && !link.starts_with("data:"))
            {
                assert!(link.starts_with('.'), "a link that depends on the mount: {link} on {page}");
                let to = resolve(&page, &link);
                assert!(to.starts_with(mount), "{page}: {link} leads out, to {to}");
                if seen.insert(to.clone()) && seen.len() < 300 {
                    open.push(to);
                }
            }
            for action in attributes(&answer.text, "action") {
                assert!(resolve(&page, &action).starts_with(mount), "{page}: {action}");
            }
        }
        assert!(seen.len() > 40, "the walk has lost its way: {seen:?}");
    }
}

#[tokio::test]
async fn the_overview_shows_findings_and_next_calls() {
    let site = lively().await;
    let page = site.page("/overview").await;
    assert!(page.contains("elsewhere.run (1)") && page.contains("No live pod knows these names"), "{page}");
    assert!(page.contains("report.build") && page.contains("no such mailbox 4711"));
    for test in ["due", "running", "scheduled", "lateness", "failed", "next", "failures"] {
        assert!(page.contains(&format!("data-test=\"{test}\"")), "{test}");
    }
}

#[tokio::test]
async fn the_health_page_leads_to_what_cannot_run() {
    let site = Site::new().await;
    let healthy = site.page("/health").await;
    assert!(healthy.contains("none of the next 0") && !healthy.contains(">View<"), "{healthy}");
    let id = site.pod.future_call_with_delay("tick.whisper", Some("s3cret"), HOUR).await.unwrap();
    let page = site.page("/health").await;
    assert!(page.contains("1 of the next 1, the first because:") && !page.contains("s3cret"), "{page}");
    assert!(page.contains(&format!("href=\"./calls/{id}\"")), "{page}");
    let json = site.json("/health.json").await;
    let broken =
        json["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == "broken-calls");
    assert_eq!(broken.unwrap()["severity"], "problem");
}

#[tokio::test]
async fn the_list_is_filtered_counted_and_paged_by_key() {
    let site = Site::new().await;
    for n in 0..7 {
        site.later("report.build", &format!("n:{n}")).await;
    }
    site.failed("boom").await;
    let all = site.json("/calls.json").await;
    assert_eq!((all["matching"].as_u64(), all["counts"]["failed"].as_u64()), (Some(8), Some(1)));
    let mut found = BTreeSet::new();
    let mut page = "/calls.json?state=scheduled&limit=3".to_owned();
    for _ in 0..3 {
        let list = site.json(&page).await;
        for call in list["calls"].as_array().unwrap() {
            assert!(found.insert(call["identifier"].as_str().unwrap().to_owned()));
        }
        page = format!(
            "/calls.json?state=scheduled&limit=3&after={}",
            list["next"].as_str().unwrap_or_default()
        );
    }
    assert_eq!(found.len(), 7);
    for (filter, count) in [
        ("identifier=n:3", 1),
        ("name=mail.send", 1),
        ("state=failed", 1),
        ("state=due", 0),
        ("error=BOOM", 1),
        ("since=2999-01-01", 0),
        ("name=report.build&until=2999-01-01T00:00", 7),
    ] {
        let list = site.json(&format!("/calls.json?{filter}")).await;
        assert_eq!(list["calls"].as_array().unwrap().len(), count, "{filter}");
    }
    let html = site.page("/calls?name=report.build&limit=3").await;
    assert!(html.contains("data-test=\"next-page\"") && html.contains("value=\"report.build\""));
}

#[tokio::test]
async fn a_call_shows_its_status_timeline_and_arguments() {
    let site = Site::new().await;
    let big: serde_json::Value = serde_json::from_str("{\"n\":18446744073709551615}").unwrap();
    let id = site.pod.future_call_with_delay("mail.send", Some(&big), HOUR).identifier("x").await.unwrap();
    let page = site.page(&format!("/calls/{id}")).await;
    assert!(page.contains("&quot;n&quot;: 18446744073709551615"), "{page}");
    assert!(
        page.contains("data-test=\"status\"")
            && page.contains("Created")
            && page.contains("data-test=\"timeline\"")
    );
    let failed = site.failed("no such\nmailbox").await;
    let page = site.page(&format!("/calls/{failed}")).await;
    assert!(
        page.contains("no such\nmailbox")
            && page.contains("Attempt 1 failed")
            && page.contains("data-test=\"attempts\"")
    );
    assert_eq!(
        site.get(&format!("/calls/{}", futurecall_runtime::CallId::new())).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn arguments_are_shown_as_far_as_policy_and_rights_allow() {
    for (policy, access, shown) in [
        (Arguments::Redacted, Access::operator("ada"), true),
        (Arguments::Shown, Access::operator("ada"), true),
        (Arguments::Hidden, Access::operator("ada"), false),
        (Arguments::Shown, Access::viewer("bob"), false),
    ] {
        let site =
            Site::with(|dashboard| dashboard.arguments(policy).authorize(move |_: &_| access.clone())).await;
        let id = site.pod.future_call_with_delay("mail.send", Some("s3cret"), HOUR).await.unwrap();
        for page in
            [format!("/calls/{id}"), format!("/calls/{id}.json"), "/calls".into(), "/overview.json".into()]
        {
            let text = site.page(&page).await;
            let own = page.contains(&id.to_string());
            assert_eq!(text.contains("s3cret"), shown && own, "{policy:?} {page}");
        }
    }
}

#[tokio::test]
async fn what_code_marks_is_hidden_unless_the_dashboard_shows_all() {
    for (policy, shown) in [(Arguments::Redacted, false), (Arguments::Shown, true)] {
        let site =
            Site::with(|dashboard| dashboard.arguments(policy).authorize(|_: &_| Access::operator("ada")))
                .await;
        let calls = site.pod.future_calls();
        let id = calls.call_with_delay(HOUR).tick().whisper("ada".into(), "s3cret".into()).await.unwrap();
        calls.call_recurring().every(HOUR).tick().whisper("bob".into(), "s3cret".into()).await.unwrap();
        let schedule = site.pod.inspect().schedules().await.unwrap()[0].id;
        for (page, to) in [(format!("/calls/{id}"), "ada"), (format!("/schedules/{schedule}"), "bob")] {
            for page in [page.clone(), format!("{page}.json")] {
                let text = site.page(&page).await;
                assert_eq!((text.contains("s3cret"), text.contains(to)), (shown, true), "{policy:?} {page}");
            }
        }
    }
}

#[tokio::test]
async fn arguments_of_unknown_call_types_are_hidden_unless_the_dashboard_shows_all() {
    for (policy, shown) in [(Arguments::Redacted, false), (Arguments::Shown, true)] {
        let site =
            Site::with(|dashboard| dashboard.arguments(policy).authorize(|_: &_| Access::operator("ada")))
                .await;
        let id = site.pod.future_call_with_delay("elsewhere.run", Some("s3cret"), HOUR).await.unwrap();
        let known = site.pod.future_call_with_delay("mail.send", Some("plain"), HOUR).await.unwrap();
        for suffix in ["", ".json"] {
            let text = site.page(&format!("/calls/{id}{suffix}")).await;
            assert_eq!(text.contains("s3cret"), shown, "{policy:?}: {text}");
            assert_eq!(
                text.contains("no pod of the last day runs this call type"),
                !shown && suffix.is_empty()
            );
            assert!(site.page(&format!("/calls/{known}{suffix}")).await.contains("plain"), "{policy:?}");
        }
    }
}

/// A day is added up of hours, and an hour of minutes.
#[tokio::test]
async fn call_types_are_counted_over_an_hour_and_over_a_day() {
    let now = Moment::from_micros(1_800_001_234_567_890).unwrap();
    let store = MemoryStore::at(now);
    let counted = |span: Span, back: Duration, succeeded| {
        let moment = Moment::from_micros(now.as_micros() - i64::try_from(back.as_micros()).unwrap()).unwrap();
        let mut counted = Statistics::new("mail.send".to_owned(), span, span.start_of(moment));
        counted.succeeded = succeeded;
        counted
    };
    let rows = [
        counted(Span::Minute, HOUR, 1),
        counted(Span::Minute, HOUR + Duration::from_mins(1), 2),
        counted(Span::Hour, HOUR * 24, 4),
        counted(Span::Hour, HOUR, 8),
        counted(Span::Hour, HOUR * 25, 16),
    ];
    store.put_statistics(PodId::new(), &rows).await.unwrap();
    let site = Site::on(store, |dashboard| dashboard.authorize(|_: &_| Access::operator("ada"))).await;
    for (window, oldest, succeeded) in [("hour", &rows[0], 1), ("day", &rows[2], 12)] {
        let types = site.json(&format!("/types.json?window={window}")).await;
        let counted =
            types["types"].as_array().unwrap().iter().find(|one| one["name"] == "mail.send").unwrap();
        assert_eq!(counted["succeeded"].as_u64(), Some(succeeded), "{types}");
        assert_eq!(types["since"].as_str(), Some(oldest.start.to_string().as_str()), "{types}");
        let page = site.page(&format!("/types?window={window}")).await;
        assert!(page.contains("Counted since "), "{page}");
    }
}

#[tokio::test]
async fn the_timeline_counts_what_is_stored_and_what_schedules_add() {
    let site = Site::new().await;
    site.later("report.build", "x").await;
    site.pod.future_call_with_delay("mail.send", None::<&()>, Duration::ZERO).await.unwrap();
    let timeline = site.json("/timeline.json?horizon=day").await;
    assert_eq!(timeline["overdue"].as_u64(), Some(1));
    let names = timeline["names"].as_array().unwrap();
    assert_eq!((names.len(), names[0]["name"].as_str()), (1, Some("report.build")));
    let stored: u64 =
        names[0]["stored"].as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(stored, 1);
    for horizon in ["hour", "day", "week"] {
        assert!(site.page(&format!("/timeline?horizon={horizon}")).await.contains("data-test=\"horizon\""));
    }
    assert_eq!(site.get("/timeline?horizon=year").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn similar_failures_are_grouped() {
    let site = lively().await;
    let errors = site.json("/type.json?name=mail.send").await["errors"].clone();
    let errors = errors.as_array().unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(
        (errors[0]["count"].as_u64(), errors[0]["text"].as_str()),
        (Some(2), Some("no such mailbox #"))
    );
}

#[tokio::test]
async fn clock_changes_are_marked_among_the_next_runs() {
    let site = Site::new().await;
    // Every quarter: of five runs in a row, some are in summer and some in winter.
    let id = declare(&site.pod, Rule::cron("0 12 1 1,4,7,10 *", "Europe/Berlin").unwrap()).await;
    let page = site.page(&format!("/schedules/{id}")).await;
    assert!(page.matches("data-test=\"clock-change\"").count() >= 2, "{page}");
    assert!(page.contains("clock change: UTC+1 to UTC+2") && page.contains("12:00:00"));
    let winter = declare(&site.pod, Rule::cron("0 12 * * *", "UTC").unwrap()).await;
    assert!(!site.page(&format!("/schedules/{winter}")).await.contains("clock-change"));
}

/// The first counts are sent, and the pod's shutdown ends the stream, which would otherwise block the server's shutdown.
#[tokio::test]
async fn open_pages_receive_changes_until_the_pod_shuts_down() {
    let site = Site::new().await;
    site.later("mail.send", "x").await;
    let answer = site.app.clone().oneshot(get("/ops/futurecalls/live")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let mut stream = answer.into_body().into_data_stream();
    let first = stream.next().await.unwrap().unwrap();
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert!(text.starts_with("event: changed") && text.contains("\"scheduled\":1"), "{text}");
    site.pod.shutdown().await;
    while let Some(frame) = stream.next().await {
        frame.unwrap();
    }
}

#[tokio::test]
async fn logs_of_runs_are_shown_to_users_who_may_see_arguments() {
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(RunLogs::new()));
    for (access, policy, shown) in [
        (Access::operator("ada"), Arguments::Redacted, true),
        (Access::operator("ada"), Arguments::Hidden, false),
        (Access::viewer("bob"), Arguments::Shown, false),
    ] {
        let site =
            Site::with(|dashboard| dashboard.arguments(policy).authorize(move |_: &_| access.clone())).await;
        let id = site.failed("<b>no</b> mailbox").await;
        // Logs are stored by a task of their own, after the outcome.
        while site.pod.inspect().logs(id).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let page = site.page(&format!("/calls/{id}")).await;
        assert_eq!(page.contains("data-test=\"log\""), shown, "{page}");
        assert!(!page.contains("<b>no</b>"));
        let json = site.json(&format!("/calls/{id}.json")).await;
        assert_eq!(
            json["logs"][0]["text"].as_str().is_some_and(|text| text.contains("a call failed")),
            shown,
            "{json}"
        );
    }
}
