//! How the tables come into being.

use super::*;

#[tokio::test]
async fn eight_pods_that_start_at_once_make_one_set_of_tables() {
    let mut home = Home::new().await;
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = home.open().await;
        starts.spawn(async move { store.migrate().await });
    }
    for result in starts.join_all().await {
        result.unwrap();
    }
    assert_eq!(home.number("SELECT count(*) FROM futurecall.migration").await, 1);
    home.remove().await;
}

#[tokio::test]
async fn tables_made_by_hand_are_accepted_and_newer_ones_are_not() {
    let mut home = Home::new().await;
    let file = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/0001_calls.sql"));
    let by_hand = file.replace("SCHEMA IF NOT EXISTS futurecall;", &format!("SCHEMA {};", home.schema));
    home.run(&by_hand).await;
    let store = home.open().await;
    store.migrate().await.unwrap();
    store.insert(Now::Database, &[call("work")], false, SOON).await.unwrap();

    home.run("INSERT INTO futurecall.migration (version, name) VALUES (99, 'of tomorrow')").await;
    let error = store.migrate().await.unwrap_err();
    assert!(!error.is_transient());
    assert!(error.to_string().contains("version 99") && error.to_string().contains("newer"), "{error}");
    home.remove().await;
}

#[tokio::test]
async fn a_pod_without_the_right_to_create_starts_on_finished_tables() {
    let (mut home, _) = Home::migrated().await;
    let role = home.schema.clone();
    home.run(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{role}'; GRANT USAGE ON SCHEMA {role} TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {role} TO {role}"
    ))
    .await;
    let options = PgConnectOptions::from_str(&home.url).unwrap().username(&role).password(&role);
    let pool = PgPool::connect_lazy_with(options);
    let store = PostgresStore::from_pool(&pool, &home.schema, 1).await.unwrap();
    store.migrate().await.unwrap();
    store.insert(Now::Database, &[call("work")], false, SOON).await.unwrap();
    assert_eq!(store.claim(Now::Database, &request(&["work"], 1)).await.unwrap().calls.len(), 1);
    assert_eq!(pool.size(), 0, "the application's pool lends its options, no connection");
    home.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    home.remove().await;
}

#[tokio::test]
async fn tables_that_are_not_there_say_what_to_do() {
    let home = Home::new().await;
    let store = home.open().await;
    let error = store.counts(Now::Database, u64::MAX).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("was this database migrated"), "{error}");
    for schema in ["", "Upper", "1st", "a-b", "pg_x", "a\"; DROP TABLE x", &"a".repeat(49)] {
        let error = PostgresStore::open(&home.url, schema).await.unwrap_err();
        assert!(error.to_string().starts_with("could not use the database: schema `"), "{error}");
    }
}
