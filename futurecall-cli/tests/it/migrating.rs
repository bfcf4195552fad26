//! The schema, by hand.

use futurecall_tests::database;
use sqlx::AssertSqlSafe;

use crate::program::{Said, program};

#[test]
fn a_file_is_made_and_brought_up_to_date() {
    let file = database::sqlite();
    let run =
        |words: &[&str]| Said::of(&program().env("DATABASE_URL", &file.url).args(words).output().unwrap());
    let said = run(&["migrate", "up"]).ended(0);
    assert!(said.out.contains("applied") && file.path.exists(), "{}", said.out);
    let said = run(&["migrate", "up"]).ended(0);
    assert_eq!(said.err, "The schema is up to date\n");
    run(&["migrate", "status", "--check"]).ended(0);
    run(&["list"]).ended(0);
    let said = run(&["migrate", "sql"]).ended(0);
    assert_eq!(said.out, "");
    let said = run(&["migrate", "sql", "--all"]).ended(0);
    assert!(said.out.contains("CREATE TABLE futurecall_call"), "{}", said.out);
    let other = run(&["migrate", "sql", "--table-prefix", "other_"]).ended(0);
    assert!(other.out.contains("CREATE TABLE other_call"), "{}", other.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_not_migrated_behind_ones_back() {
    let server = database::postgres().await;
    let run = |words: &[&str]| {
        let mut command = program();
        command.env("FUTURECALL_DATABASE_URL", &server.url).env("FUTURECALL_SCHEMA", &server.schema);
        Said::of(&command.args(words).output().unwrap())
    };
    let said = run(&["list"]).ended(1);
    assert!(said.err.contains("futurecall migrate up"), "{}", said.err);
    let said = run(&["migrate", "status"]).ended(0);
    assert!(
        said.out.contains("missing") && said.err.contains("`futurecall migrate up`"),
        "{}{}",
        said.out,
        said.err
    );
    run(&["migrate", "status", "--check"]).ended(4);
    let said = run(&["doctor"]).ended(4);
    assert!(said.out.contains("there are no tables of Futurecall"), "{}", said.out);

    // The SQL that is written is what is run.
    let sql = run(&["migrate", "sql"]).ended(0).out;
    assert!(sql.contains("CREATE TABLE"), "{sql}");
    let json = run(&["migrate", "sql", "-o", "json"]).ended(0).json();
    assert!(json["steps"][0]["sql"].as_str().unwrap().contains("CREATE TABLE"));
    let said = run(&["migrate", "up", "-o", "json"]).ended(0);
    assert_eq!(said.json()["applied"].as_array().unwrap().len(), json["steps"].as_array().unwrap().len());
    run(&["migrate", "status", "--check"]).ended(0);
    let tables: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM pg_tables WHERE schemaname = '{}'",
        server.schema
    )))
    .fetch_one(&server.pool)
    .await
    .unwrap();
    assert!(tables >= 4);
    server.drop().await;
}
