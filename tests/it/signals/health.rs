//! The health of a pod.

use futurecall_runtime::Role;
use futurecall_tests::backend::Backend;
use futurecall_tests::database;
use futurecall_tests::journal::eventually;
use sqlx::SqlitePool;

#[tokio::test]
async fn a_pod_is_ready_until_it_shuts_down() {
    for backend in [Backend::memory(), Backend::sqlite()] {
        for role in [Role::Monolith, Role::Serverless, Role::Maintenance] {
            let pod = backend.builder().role(role).start().await.unwrap();
            let health = pod.health().await;
            assert!(health.live && health.ready && health.reasons.is_empty(), "{role:?}: {health:?}");
            pod.shutdown().await;
            let health = pod.health().await;
            assert!(health.live && !health.ready, "{role:?}: {health:?}");
            assert_eq!(health.reasons.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_pod_whose_tables_are_gone_lives_and_is_not_ready() {
    let file = database::sqlite();
    let url = file.url.clone();
    let backend = Backend::Sqlite(file);
    let pod = backend.builder().start().await.unwrap();
    let pool = SqlitePool::connect(&url).await.unwrap();
    assert!(pod.health().await.ready);
    sqlx::query("ALTER TABLE futurecall_finished RENAME TO gone").execute(&pool).await.unwrap();
    let health =
        eventually("it is not ready", async || Some(pod.health().await).filter(|health| !health.ready)).await;
    assert!(health.live && health.reasons[0].contains("database"), "{health:?}");
    sqlx::query("ALTER TABLE gone RENAME TO futurecall_finished").execute(&pool).await.unwrap();
    eventually("it is ready again", async || Some(pod.health().await).filter(|health| health.ready)).await;
    pod.shutdown().await;
}
