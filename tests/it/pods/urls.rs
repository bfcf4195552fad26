//! SQLite URLs that name no file, or none that a pod can use.

use futurecall_runtime::StartError;
use futurecall_runtime::prelude::*;
use futurecall_tests::database;
use sqlx::SqlitePool;

async fn refused(url: &str) -> String {
    let started = Pod::builder().without_discovery().database_url(url).start().await;
    let error = started.expect_err(&format!("`{url}` is refused"));
    assert!(matches!(&error, StartError::Setting { name, .. } if name == "database_url"), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_url_without_a_file_is_a_start_error_that_says_what_to_write() {
    for url in ["sqlite:", "sqlite://", "sqlite:?mode=rwc", "sqlite://?mode=rwc", "sqlite:?cache=private"] {
        let text = refused(url).await;
        assert!(text.contains("names no file") && text.contains("`sqlite:calls.db`"), "{url}: {text}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_to_be_made_must_be_there() {
    let file = database::sqlite();
    let url = format!("{}?mode=rw", file.url);
    let text = refused(&url).await;
    assert!(text.contains("calls.db") && text.contains("leave `mode=rw` out"), "{text}");
    assert!(!file.path.exists());
    Pod::builder().without_discovery().database_url(&file.url).start().await.unwrap().shutdown().await;
    Pod::builder().without_discovery().database_url(&url).start().await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_file_that_is_opened_read_only_is_refused() {
    let file = database::sqlite();
    Pod::builder().without_discovery().database_url(&file.url).start().await.unwrap().shutdown().await;
    for parameters in ["mode=ro", "immutable=true", "immutable=1", "mode=rwc&mode=ro"] {
        let text = refused(&format!("{}?{parameters}", file.url)).await;
        assert!(text.contains("read-only") && text.contains("without `mode=ro`"), "{parameters}: {text}");
    }
    let pool = SqlitePool::connect(&format!("{}?mode=ro", file.url)).await.unwrap();
    let error = Pod::builder().without_discovery().pool(&pool).start().await.unwrap_err();
    assert!(error.to_string().contains("a file that it may write to"), "{error}");
    pool.close().await;
}
