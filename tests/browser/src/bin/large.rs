//! `DATABASE_URL=… cargo run --release -p futurecall-browser --bin large`: how long each page of the dashboard takes at the
//! server with a million calls, on a SQLite file and on PostgreSQL. The median of five, after one that is not counted.
//! Fails if a page takes longer than it should.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use futurecall_browser::bulk;
use futurecall_dashboard::{Access, dashboard};
use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::prelude::*;
use futurecall_runtime::{CallState, Role};
use futurecall_tests::database;
use tower::ServiceExt;

/// What a page may take.
const LIMIT: Duration = Duration::from_millis(200);
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let mut slow = 0;
    println!("| page | database | median ms | longest ms |\n| --- | --- | ---: | ---: |");

    let file = database::sqlite();
    let pod = pod(&file.url).await?;
    let pool = file.pool().await;
    bulk::fill_sqlite(&pool).await?;
    pool.close().await;
    slow += measure(&pod, "SQLite").await?;
    pod.shutdown().await;

    let database = database::postgres().await;
    let pod = self::pod(&database.url).await?;
    bulk::fill_postgres(&database.pool).await?;
    slow += measure(&pod, "PostgreSQL").await?;
    pod.shutdown().await;
    database.drop().await;

    if slow > 0 {
        eprintln!("{slow} answers took longer than {} ms", LIMIT.as_millis());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs nothing, so that what is stored stays.
async fn pod(url: &str) -> Result<Pod, BoxError> {
    Ok(Pod::builder().database_url(url).without_discovery().role(Role::Serverless).start().await?)
}

/// Asks for every page, prints what each took, and says how many were too slow.
async fn measure(pod: &Pod, database: &str) -> Result<usize, BoxError> {
    let app = Router::new()
        .nest("/futurecalls", dashboard(pod).authorize(|_: &_| Access::operator("ada")).into_router());
    let one = |state| async move {
        let page = pod.inspect().calls(CallFilter::new().state(state).limit(1)).await?;
        page.calls.first().map(|call| call.id.to_string()).ok_or(BoxError::from("there is no such call"))
    };
    let (pending, over) = (one(CallState::Scheduled).await?, one(CallState::Failed).await?);
    let mut asked: Vec<(&str, String, Option<String>)> =
        PAGES.map(|page| (page, page.to_owned(), None)).to_vec();
    asked.push(("/calls/… (pending)", format!("/calls/{pending}"), None));
    asked.push(("/calls/… (failed)", format!("/calls/{over}"), None));
    asked.push(("/calls?after=…", format!("/calls?after={pending}&state=scheduled"), None));

    let token = token(&app).await?;
    for (name, fields) in QUESTIONS {
        asked.push((name, "/calls/confirm".to_owned(), Some(format!("token={token}&{fields}"))));
    }
    let mut slow = 0;
    for (name, path, form) in asked {
        let mut took = Vec::new();
        for _ in 0..=ROUNDS {
            let start = Instant::now();
            ask(&app, &path, form.clone()).await?;
            took.push(start.elapsed());
        }
        // The first one finds cold caches and plans.
        took.remove(0);
        took.sort_unstable();
        let [median, longest] = [took[ROUNDS / 2], took[ROUNDS - 1]].map(|took| took.as_secs_f64() * 1_000.0);
        let mark = if took[ROUNDS / 2] > LIMIT { " **slow**" } else { "" };
        slow += usize::from(!mark.is_empty());
        println!("| `{name}` | {database} | {median:.1}{mark} | {longest:.1} |");
    }
    Ok(slow)
}

const PAGES: [&str; 26] = [
    "",
    "/calls",
    "/calls.json",
    "/calls?state=scheduled",
    "/calls?state=due",
    "/calls?state=running",
    "/calls?state=succeeded",
    "/calls?state=failed",
    "/calls?name=work.kind_7",
    "/calls?name=work.kind_7&state=failed",
    "/calls?identifier=account:77",
    "/calls?since=2020-01-01",
    "/calls?error=no+call+says+that",
    "/calls?pod=00000000-0000-7000-8000-000000000000",
    "/calls?limit=200",
    "/timeline?horizon=hour",
    "/timeline?horizon=day",
    "/timeline?horizon=week",
    "/schedules",
    "/types",
    "/types?window=day",
    "/type?name=work.kind_7",
    "/pods",
    "/health",
    "/actions",
    "/health/ready",
];

/// Before something is done to many, they are counted to the last.
const QUESTIONS: [(&str, &str); 5] = [
    ("question: all of an identifier", "verb=cancel&all=1&state=scheduled&identifier=account:77"),
    ("question: all of a name (25,000)", "verb=cancel&all=1&state=scheduled&name=work.kind_7"),
    ("question: all scheduled (500,000)", "verb=cancel&all=1&state=scheduled"),
    ("question: all failed (125,000)", "verb=run_again&all=1&state=failed"),
    ("question: all that say so (2,778)", "verb=run_again&all=1&state=failed&error=refused+account+9"),
];

/// Reads the CSRF token from a page.
async fn token(app: &Router) -> Result<String, BoxError> {
    let page = ask(app, "/calls", None).await?;
    let found = page.split_once("name=\"token\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
    found.map(|(token, _)| token.to_owned()).ok_or("no page has a form".into())
}

async fn ask(app: &Router, path: &str, form: Option<String>) -> Result<String, BoxError> {
    let request = Request::builder()
        .method(if form.is_some() { Method::POST } else { Method::GET })
        .uri(format!("/futurecalls{path}"))
        .header("host", "localhost")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.map_or_else(Body::empty, Body::from))?;
    let response = app.clone().oneshot(request).await?;
    let status = response.status();
    let text = String::from_utf8(to_bytes(response.into_body(), usize::MAX).await?.to_vec())?;
    if status.is_success() { Ok(text) } else { Err(format!("{path}: {status}: {text}").into()) }
}
