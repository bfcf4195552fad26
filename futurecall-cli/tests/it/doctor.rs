//! What the doctor finds.

use std::time::Duration;

use futurecall_runtime::CallFilter;
use serde_json::Value;

use crate::program::Said;
use crate::world::{World, on_both};

fn status(said: &Said, check: &str) -> String {
    let json = said.json();
    let findings = json["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["check"] == check);
    let finding = finding.unwrap_or_else(|| panic!("{check} was not looked at: {json:#}"));
    if finding["status"] != "ok" {
        assert!(finding["means"].is_string() && finding["todo"].is_string(), "{finding}");
    }
    finding["status"].as_str().unwrap().to_owned()
}

fn examine(world: &World) -> Said {
    world.run(&["doctor", "-o", "json"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_order_is_healthy_but_for_what_is_odd() {
    on_both(async |world| {
        let said = examine(world);
        for check in [
            "connection",
            "server version",
            "clock",
            "schema",
            "pods",
            "versions",
            "stuck calls",
            "due calls",
            "paused names",
            "paused schedules",
            "history",
            "retention",
        ] {
            assert_eq!(status(&said, check), "ok", "{}", said.out);
        }
        // The servers of the tests lose what they have when the power fails, on purpose.
        assert!(["ok", "problem"].contains(&status(&said, "durability").as_str()));
        assert_eq!(status(&said, "unknown names"), "warning");
        if world.kind() == "postgres" {
            assert_eq!(status(&said, "LISTEN"), "ok");
        } else {
            assert_eq!(status(&said, "durability"), "ok");
            assert_eq!(status(&said, "journal mode"), "ok");
            said.ended(0);
            let strict = world.run(&["doctor", "--strict"]).ended(4);
            assert!(strict.out.contains("warning  unknown names"), "{}", strict.out);
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
        assert_eq!(status(&said, "unknown names"), "problem");
        assert_eq!(said.json()["healthy"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pods_it_says_so() {
    on_both(async |world| {
        world.pod.shutdown().await;
        let said = examine(world);
        assert_eq!(status(&said, "pods"), "warning");
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
            (&findings[0]["status"], &findings[0]["check"]),
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
