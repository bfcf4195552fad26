//! Every page and every action in a browser, on both databases, with script and without.

mod acting;
mod looking;
mod scrollbars;

use futurecall_browser::browser::{Browser, Script, with_browser};
use futurecall_browser::site::Site;
use futurecall_tests::database;

async fn walk(database_url: &str, schema: &str, script: Script) {
    let site = Site::start(database_url, schema).await;
    // The pages are the same on both databases. Without script, timers and promises stand still, and axe-core with them.
    let looks_for_barriers = script == Script::On && database_url.starts_with("sqlite:");
    with_browser(script, move |browser| async move {
        let browser = Browser { looks_for_barriers, ..browser };
        looking::pages(&browser, &site).await;
        if script == Script::On {
            looking::tools(&browser, &site).await;
        }
        acting::on_one_call(&browser, &site).await;
        acting::on_many_calls(&browser, &site).await;
        acting::on_a_schedule(&browser, &site).await;
        acting::on_a_call_type(&browser, &site).await;
        looking::the_record(&browser, &site).await;
        site.stop().await;
    })
    .await;
}

async fn walk_on_sqlite(script: Script) {
    let file = database::sqlite();
    walk(&file.url, "futurecall", script).await;
}

async fn walk_on_postgres(script: Script) {
    let database = database::postgres().await;
    walk(&database.url, &database.schema, script).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_with_script() {
    walk_on_sqlite(Script::On).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_without_script() {
    walk_on_sqlite(Script::Off).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_with_script() {
    walk_on_postgres(Script::On).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_without_script() {
    walk_on_postgres(Script::Off).await;
}
