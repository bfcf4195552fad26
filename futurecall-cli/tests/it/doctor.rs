//! What the doctor finds.

use std::time::Duration;

use futurecall_runtime::chrono::Utc;
use futurecall_runtime::inspect::CallFilter;
use serde_json::Value;

use crate::program::Said;
use crate::world::{ReportFutureCall, World, on_both};

fn severity(said: &Said, code: &str) -> String {
    let json = said.json();
    let findings = json["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["code"] == code);
    let finding = finding.unwrap_or_else(|| panic!("{code} was not looked at: {json:#}"));
    if finding["severity"] != "ok" {
        assert!(finding["means"].is_string() && finding["todo"].is_string(), "{finding}");
    }
    finding["severity"].as_str().unwrap().to_owned()
}

fn examine(world: &World) -> Said {
    world.run(&["doctor", "-o", "json"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_order_is_healthy_but_for_what_is_odd() {
    on_both(async |world| {
        let said = examine(world);
        for code in [
            "connection",
            "server-version",
            "clock",
            "schema",
            "pods",
            "versions",
            "stuck-calls",
            "long-runs",
            "broken-calls",
            "due-calls",
            "paused-names",
            "paused-schedules",
            "history",
            "retention",
        ] {
            assert_eq!(severity(&said, code), "ok", "{}", said.out);
        }
        // The servers of the tests lose what they have when the power fails, on purpose.
        assert!(["ok", "problem"].contains(&severity(&said, "durability").as_str()));
        assert_eq!(severity(&said, "unknown-names"), "warning");
        if world.kind() == "postgres" {
            assert_eq!(severity(&said, "listen"), "ok");
        } else {
            assert_eq!(severity(&said, "durability"), "ok");
            assert_eq!(severity(&said, "journal-mode"), "ok");
            said.ended(0);
            let strict = world.run(&["doctor", "--strict"]).ended(4);
            assert!(strict.out.contains("warning   unknown-names"), "{}", strict.out);
            assert!(strict.out.contains("futurecall cancel --name NAME"), "{}", strict.out);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_nobody_can_run_are_a_problem() {
    on_both(async |world| {
        let past = Duration::ZERO;
        let ghost = world.pod.future_call_with_delay("ghost.late", None::<&Value>, past).await.unwrap();
        // Due is what the database's clock has passed.
        let filter = CallFilter::new().name("ghost.late").until(world.pod.inspect().now().await.unwrap());
        assert_eq!(world.pod.inspect().calls(filter).await.unwrap().calls[0].id, ghost);
        let said = examine(world).ended(4);
        assert_eq!(severity(&said, "unknown-names"), "problem");
        assert_eq!(said.json()["healthy"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_due_for_long_is_a_warning_with_its_figures() {
    on_both(async |world| {
        let minutes_ago = Utc::now() - Duration::from_mins(10);
        let calls = world.pod.future_calls();
        calls.call_at_time(minutes_ago).of::<ReportFutureCall>().build(3, "s3cret").await.unwrap();
        let said = examine(world);
        assert_eq!(severity(&said, "due-calls"), "warning");
        let json = said.json();
        let due = json["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == "due-calls");
        let figures = &due.unwrap()["figures"];
        assert_eq!(figures["due"], 1, "{json}");
        assert!((600.0..660.0).contains(&figures["oldest_due_seconds"].as_f64().unwrap()), "{json}");
    })
    .await;
}

/// What is wrong with a database must not depend on the screen: here on that of the service, and of a program beside it.
#[cfg(feature = "dashboard")]
#[tokio::test(flavor = "multi_thread")]
async fn the_health_page_of_the_service_finds_the_same() {
    on_both(async |world| {
        let calls = world.pod.future_calls();
        // Late enough to notice, and not for an alarm.
        let minutes_ago = Utc::now() - Duration::from_mins(2);
        calls.call_at_time(minutes_ago).of::<ReportFutureCall>().build(3, "s3cret").await.unwrap();
        world.pod.operate("ada").pause_name("report.send", "why").await.unwrap();
        let said = examine(world);
        let judged = |findings: &Value| {
            let findings = findings.as_array().unwrap().iter();
            let judged = findings.map(|finding| (finding["code"].clone(), finding["severity"].clone()));
            let judged =
                judged.filter(|(code, _)| !["file-system", "listen"].contains(&code.as_str().unwrap()));
            judged.collect::<Vec<_>>()
        };
        let doctor = judged(&said.json()["findings"]);
        let health = world.page("/health.json").await;
        assert_eq!(doctor, judged(&health["findings"]));
        assert!(doctor.len() >= 15, "{doctor:?}");
        for (code, severity) in [("due-calls", "ok"), ("unknown-names", "warning"), ("paused-names", "note")]
        {
            assert!(doctor.contains(&(code.into(), severity.into())), "{code}: {doctor:?}");
        }
        // The first page has the urgent ones of them.
        let urgent = judged(&world.page("/overview.json").await["findings"]);
        assert_eq!(
            urgent,
            [("unknown-names".into(), "warning".into()), ("paused-names".into(), "note".into())]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pods_it_says_so() {
    on_both(async |world| {
        world.pod.shutdown().await;
        let said = examine(world);
        assert_eq!(severity(&said, "pods"), "warning");
    })
    .await;
}

/// The doctor connects as another role than the pods.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_whose_commits_are_confirmed_too_early_is_a_problem() {
    on_both(async |world| {
        if world.kind() != "postgres" {
            return;
        }
        let pool = sqlx::PgPool::connect(world.url()).await.unwrap();
        let run = async |sql: String| {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
        };
        let role = format!("early_{}", uuid::Uuid::new_v4().simple());
        let found = || {
            let findings = examine(world).json()["findings"].clone();
            let found = findings.as_array().unwrap().iter();
            let found = found.filter(|finding| finding["found"].as_str().unwrap().contains(&role));
            found.cloned().collect::<Vec<Value>>()
        };
        run(format!("CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET synchronous_commit = off")).await;
        assert!(found().is_empty(), "a role that may not use the tables is no business of the doctor's");
        run(format!("GRANT USAGE ON SCHEMA {} TO {role}", world.schema())).await;
        let findings = found();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(
            (&findings[0]["severity"], &findings[0]["code"]),
            (&"problem".into(), &"durability".into())
        );
        assert!(findings[0]["todo"].as_str().unwrap().contains("RESET synchronous_commit"));
        run(format!("ALTER ROLE {role} SET synchronous_commit = on")).await;
        assert!(found().is_empty());
        run(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
        pool.close().await;
    })
    .await;
}
