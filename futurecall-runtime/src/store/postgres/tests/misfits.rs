//! A value that cannot be in its column is an error that names the column, and never a missing row.

use std::collections::BTreeMap;

use super::*;
use crate::error::StoreError;
use crate::store::{PodBeat, Span, Statistics};

/// The table, the column, an impossible value, and the name under which the statement returns the column.
const PLANTED: &[(&str, &str, &str, &str)] = &[
    ("call", "attempt", "-1", "attempt"),
    ("pod", "slots", "-1", "slots"),
    ("pod", "running", "-1", "running"),
    ("pod", "redacted", "'[1]'", "redacted"),
    ("statistics", "succeeded", "-1", "succeeded"),
];

impl Home {
    /// Drops the tables' checks, which would refuse some of the values.
    async fn drop_checks(&mut self) {
        let all = format!(
            "DO $$ DECLARE one record; BEGIN FOR one IN SELECT conrelid::regclass AS of, conname FROM pg_constraint \
             WHERE contype = 'c' AND connamespace = '{}'::regnamespace LOOP \
             EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.of, one.conname); END LOOP; END $$",
            self.schema
        );
        self.run(&all).await;
    }
}

async fn read(store: &PostgresStore, table: &str) -> Result<usize, StoreError> {
    Ok(match table {
        "call" => store.calls(Now::Database, &CallFilter::new()).await?.calls.len(),
        "pod" => store.pods(Now::Database, Duration::from_hours(1)).await?.len(),
        _ => store.statistics(Span::Minute, Moment::MIN, None).await?.len(),
    })
}

#[tokio::test]
async fn a_value_that_cannot_be_in_its_column_is_an_error_and_no_missing_row() {
    let (mut home, store) = Home::migrated().await;
    let pod = PodId::new();
    let beat = PodBeat {
        id: pod,
        label: "here".to_owned(),
        role: "monolith".to_owned(),
        version: "0".to_owned(),
        names: Vec::new(),
        shapes: BTreeMap::new(),
        schedules: Vec::new(),
        redacted: BTreeMap::new(),
        slots: 1,
        running: 0,
    };
    store.insert(Now::Database, &[call("a.b")], false, SOON).await.unwrap();
    store.beat(Now::Database, &beat).await.unwrap();
    let mut counted = Statistics::new("a.b".to_owned(), Span::Minute, Moment::MIN);
    counted.succeeded = 1;
    store.put_statistics(pod, &[counted]).await.unwrap();
    home.drop_checks().await;
    for (table, column, value, name) in PLANTED {
        assert_eq!(read(&store, table).await.unwrap(), 1, "{table}");
        home.run(&format!("CREATE TABLE futurecall.saved AS TABLE futurecall.{table}")).await;
        home.run(&format!("UPDATE futurecall.{table} SET {column} = {value}")).await;
        let error = read(&store, table).await.expect_err(column);
        assert!(
            !error.is_transient() && error.to_string().contains(&format!("`{name}`")),
            "{column}: {error}"
        );
        home.run(&format!("UPDATE futurecall.{table} SET {column} = saved.{column} FROM futurecall.saved"))
            .await;
        home.run("DROP TABLE futurecall.saved").await;
    }
    store.close().await;
    home.remove().await;
}
