//! What only PostgreSQL can show; everything else is the conformance suite's.
//!
//! These tests need a server: `scripts/test` starts one, or `DATABASE_URL` names one whose user may create schemas and
//! end other connections.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

use super::*;
use crate::id::{CallId, PodId};
use crate::moment::Moment;
use crate::store::prelude::*;
use crate::store::transaction::TransactionRef;
use crate::store::{
    CallFilter, CallState, CancelTarget, ClaimRequest, ClaimedCall, Due, Finish, Finished, Held, Inserted,
    Lease, NewCall, Now, OnVanish, Outcome, Retention,
};

mod looks;
mod misfits;
mod names;
mod plans;
mod prepared;
mod tables;

const SOON: Duration = Duration::from_secs(5);
const LEASE: Duration = Duration::from_secs(30);

/// A schema of one test's own. It is dropped at the end of a test that passes.
struct Home {
    url: String,
    schema: String,
    /// The application's connection.
    app: PgConnection,
}

impl Home {
    async fn new() -> Self {
        let url = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL names a PostgreSQL server; scripts/test starts one and sets it");
        let schema = format!("test_{}", Uuid::new_v4().simple());
        let app = PgConnection::connect(&url).await.expect("the server answers");
        Self { url, schema, app }
    }

    /// The same with the tables made.
    async fn migrated() -> (Self, PostgresStore) {
        let home = Self::new().await;
        let store = home.open().await;
        store.migrate().await.unwrap();
        (home, store)
    }

    async fn open(&self) -> PostgresStore {
        let options = PgConnectOptions::from_str(&self.url).unwrap().application_name(&self.schema);
        PostgresStore::with_options(options, &self.schema, CONNECTIONS).await.unwrap()
    }

    /// Runs the application's own SQL, written against the schema `futurecall`.
    async fn run(&mut self, sql: &str) {
        self.app.execute(AssertSqlSafe(sql::in_schema(sql, &self.schema))).await.unwrap();
    }

    async fn number(&mut self, sql: &str) -> i64 {
        let sql = sql::in_schema(sql, &self.schema);
        self.app.fetch_one(AssertSqlSafe(sql)).await.unwrap().get(0)
    }

    async fn remove(mut self) {
        let schema = self.schema.clone();
        self.app.execute(AssertSqlSafe(format!("DROP SCHEMA \"{schema}\" CASCADE"))).await.unwrap();
    }
}

fn call(name: &str) -> NewCall {
    NewCall {
        id: CallId::new(),
        name: name.to_owned(),
        identifier: None,
        args: "{}".to_owned(),
        format: 1,
        priority: 0,
        due: Due::After(Duration::ZERO),
        expires_after: None,
        traceparent: None,
    }
}

fn calls(name: &str, count: usize) -> Vec<NewCall> {
    (0..count).map(|_| call(name)).collect()
}

fn request(names: &[&str], limit: usize) -> ClaimRequest {
    ClaimRequest {
        pod: PodId::new(),
        claim_no: 1,
        names: names.iter().map(|name| ((*name).to_owned(), OnVanish::Keep)).collect(),
        shapes: Arc::default(),
        limit,
        lease: LEASE,
        until: None,
        ahead: Duration::ZERO,
        sweep: true,
        retention: Retention::default(),
    }
}

fn held(calls: &[ClaimedCall]) -> Vec<Held> {
    calls.iter().map(|call| Held { id: call.id, claim_no: call.claim_no, started: true }).collect()
}

fn succeeded(call: &ClaimedCall) -> Finish {
    let (id, claim_no, outcome) = (call.id, call.claim_no, Outcome::Succeeded);
    Finish { id, claim_no, outcome, started_after: None, ran_for: Duration::ZERO }
}

#[tokio::test]
async fn claims_are_hot_updates() {
    let (mut home, store) = Home::migrated().await;
    store.insert(Now::Database, &calls("work", 2_000), false, SOON).await.unwrap();
    // To be run again if its pod vanishes, which says most.
    let rerun = OnVanish::Rerun { budget: 1_000, after: Duration::from_hours(1) };
    let request = ClaimRequest { names: vec![("work".to_owned(), rerun)], ..request(&["work"], 1_000) };
    let claim = store.claim(Now::Database, &request).await.unwrap();
    assert_eq!(claim.calls.len(), 1_000);
    assert_eq!(claim.next, Some(Duration::ZERO), "1,000 more are due");

    // A connection reports its figures when it ends, at the latest.
    drop(store);
    let schema = home.schema.clone();
    let count = |column: &str| {
        format!("SELECT {column} FROM pg_stat_user_tables WHERE schemaname = '{schema}' AND relname = 'call'")
    };
    while home.number(&count("n_tup_upd")).await < 1_000 {}
    let hot = home.number(&count("n_tup_hot_upd")).await;
    assert!(hot >= 990, "{hot} of 1,000 claims were HOT updates");
    home.remove().await;
}

#[tokio::test]
async fn other_handles_hear_of_what_is_due_soon() {
    let (home, store) = Home::migrated().await;
    let other = home.open().await;
    // Until it hears, it may wake for nothing: that it listens now is all that the first news may mean.
    other.changed().await;
    store.insert(Now::Database, &[call("work")], false, SOON).await.unwrap();
    other.changed().await;
    let mut transaction = store.link.pool.begin().await.unwrap();
    let lent = TransactionRef::Postgres(&mut transaction);
    store.insert_in(lent, &[call("work")], SOON).await.unwrap();
    transaction.commit().await.unwrap();
    other.changed().await;

    // Also of a call that is to be tried again.
    let request = request(&["work"], 1);
    let claimed = store.claim(Now::Database, &request).await.unwrap().calls.remove(0);
    let finish = |call: &ClaimedCall, after| {
        let outcome = Outcome::Retry { error: "not yet".to_owned(), after };
        Finish { outcome, ..succeeded(call) }
    };
    let retention = Retention::default();
    store.finish(Now::Database, request.pod, &[finish(&claimed, SOON / 2)], &retention).await.unwrap();
    other.changed().await;

    let claimed = store.claim(Now::Database, &ClaimRequest { claim_no: 2, ..request.clone() }).await.unwrap();
    store
        .finish(Now::Database, request.pod, &[finish(&claimed.calls[0], SOON * 2)], &retention)
        .await
        .unwrap();
    let later = NewCall { due: Due::After(SOON * 2), ..call("work") };
    store.insert(Now::Database, &[later], false, SOON).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_millis(300), other.changed()).await;
    assert!(heard.is_err(), "nothing is due soon");
    home.remove().await;
}

#[tokio::test]
async fn a_store_hears_once_it_has_heard_itself() {
    let (home, other) = Home::migrated().await;
    let store = PostgresStore::open_with(&home.url, &home.schema, 1).await.unwrap();
    assert!(!store.hears(), "it does not listen");
    // Its only connection is taken: it listens by another, and cannot say anything to itself.
    let taken = store.begin("wait").await.unwrap();
    store.changed().await;
    other.insert(Now::Database, &[call("work")], false, SOON).await.unwrap();
    store.changed().await;
    assert!(!store.hears(), "what is said by others proves nothing of what it missed");
    drop(taken);
    while !store.hears() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    home.remove().await;
}

#[tokio::test]
async fn whoever_takes_a_call_at_once_wakes_nobody_for_it() {
    let (mut home, mut store) = Home::migrated().await;
    // Ample, on a machine that is busy.
    store.wake.first_try = Duration::from_secs(1);
    let channel = store.wake.channel().to_owned();
    let mut ear = PgListener::connect_with(&store.link.pool).await.unwrap();
    ear.listen(&channel).await.unwrap();
    let request = request(&["work"], 10);
    assert!(store.claim(Now::Database, &request).await.unwrap().calls.is_empty());

    let (taken, left) = (call("work"), call("work"));
    store.insert(Now::Database, std::slice::from_ref(&taken), false, SOON).await.unwrap();
    let claim = store.claim(Now::Database, &ClaimRequest { claim_no: 2, ..request }).await.unwrap();
    assert_eq!(claim.calls.iter().map(|call| call.id).collect::<Vec<_>>(), [taken.id]);
    store.wake.said().await;
    store.insert(Now::Database, &[left], false, SOON).await.unwrap();
    store.wake.said().await;

    home.run(&format!("SELECT pg_notify('{channel}', 'end')")).await;
    let mut heard = 0;
    while ear.recv().await.unwrap().payload() != "end" {
        heard += 1;
    }
    assert_eq!(heard, 1, "of the call that was left");
    home.remove().await;
}

#[tokio::test]
async fn what_a_pod_does_all_the_time_is_planned_once() {
    let (home, _) = Home::migrated().await;
    let store = PostgresStore::open_with(&home.url, &home.schema, 1).await.unwrap();
    let request = request(&["work", "missing"], 5);
    for _ in 0..10 {
        store.insert(Now::Database, &calls("work", 5), false, SOON).await.unwrap();
        let claimed = store.claim(Now::Database, &request).await.unwrap().calls;
        assert_eq!(claimed.len(), 5);
        let finished: Vec<_> = claimed.iter().map(succeeded).collect();
        let finished = store.finish(Now::Database, request.pod, &finished, &Retention::default()).await;
        assert_eq!(finished.unwrap(), [Finished::Recorded; 5]);
    }
    let statements = "SELECT left(replace(statement, chr(10), ' '), 60), generic_plans, custom_plans
        FROM pg_prepared_statements WHERE generic_plans + custom_plans >= 10";
    let rows = store.link.pool.fetch_all(statements).await.unwrap();
    assert!(rows.len() >= 4, "insert, survey, claim, finish: {}", rows.len());
    for row in rows {
        let (text, once, anew): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert!(once > 0 && anew <= 5, "planned anew {anew} times: {text}");
    }
    home.remove().await;
}

#[tokio::test]
async fn what_was_planned_on_empty_tables_holds_on_full_ones() {
    let (mut home, _) = Home::migrated().await;
    let store = PostgresStore::open_with(&home.url, &home.schema, 1).await.unwrap();
    let request = request(&["work"], 1_000);
    let said = plans::beat();
    for count in [3; 10].into_iter().chain([20_000]) {
        store.insert(Now::Database, &calls("work", count), false, SOON).await.unwrap();
        assert!(!store.beat(Now::Database, &said).await.unwrap());
        assert_eq!(store.reopen(Now::Database, LEASE, 1_000).await.unwrap(), 0);
        let claimed = store.claim(Now::Database, &request).await.unwrap().calls;
        assert_eq!(claimed.len(), count.min(1_000));
        let back = &held(&claimed)[..1];
        assert_eq!(store.release(Now::Database, request.pod, back, None).await.unwrap(), 1);
        let again = store.claim(Now::Database, &ClaimRequest { limit: 1, ..request.clone() }).await.unwrap();
        assert_eq!(again.calls.len(), 1);
        let renewed = store.renew(Now::Database, request.pod, &held(&claimed), LEASE).await.unwrap();
        assert!(renewed.iter().all(|renewed| renewed.lease == Lease::Held));
        let finished: Vec<_> = claimed.iter().map(succeeded).collect();
        let finished = store.finish(Now::Database, request.pod, &finished, &Retention::default()).await;
        assert!(finished.unwrap().into_iter().all(Finished::is_recorded));
    }
    // A connection reports its figures when it ends, at the latest.
    drop(store);
    let schema = home.schema.clone();
    let count = |column: &str| {
        format!("SELECT {column} FROM pg_stat_user_tables WHERE schemaname = '{schema}' AND relname = 'call'")
    };
    while home.number(&count("n_tup_del")).await < 1_030 {}
    let read = home.number(&count("seq_tup_read")).await;
    assert!(read < 15_000, "{read} rows were read one by one");
    home.remove().await;
}

#[tokio::test]
async fn a_claim_of_more_than_one_statement_takes_keeps_the_order() {
    let (home, store) = Home::migrated().await;
    let mut given = Vec::new();
    for name in ["low", "work"] {
        for micros in 0..2_300 {
            let due = Due::At(Moment::from_micros(micros).unwrap());
            given.push(NewCall { due, priority: i16::from(name == "low"), ..call(name) });
        }
    }
    store.insert(Now::Database, &given, false, SOON).await.unwrap();
    let claim = store.claim(Now::Database, &request(&["low", "work"], 4_500)).await.unwrap();
    given.sort_by_key(|call| (call.priority, call.id));
    let expected: Vec<CallId> = given.iter().take(4_500).map(|call| call.id).collect();
    assert!(claim.calls.iter().map(|call| call.id).eq(expected));
    assert_eq!(claim.next, Some(Duration::ZERO));
    home.remove().await;
}

#[tokio::test]
async fn a_connection_ended_by_the_server_costs_no_call() {
    let (mut home, store) = Home::migrated().await;
    let schema = home.schema.clone();
    let end_all = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{schema}'"
    );
    assert!(home.number(&end_all).await > 0);
    let given = [call("work")];
    // Where the pool had no reason to look at it first, the write ends in doubt; a repetition settles that.
    while let Err(error) = store.insert(Now::Database, &given, true, SOON).await {
        assert!(error.is_transient(), "{error}");
    }
    let counts = loop {
        // A connection that was used a moment ago is not asked whether it still lives.
        match store.counts(Now::Database, u64::MAX).await {
            Ok(counts) => break counts,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    };
    assert_eq!(counts.scheduled, 1);

    // In the middle of a transaction: nothing was done, and it says so.
    let mut blocking = PgConnection::connect(&home.url).await.unwrap();
    let mut lock = blocking.begin().await.unwrap();
    lock.execute(AssertSqlSafe(format!("SELECT 1 FROM {schema}.call FOR UPDATE"))).await.unwrap();
    let claim = store.claim(Now::Database, &request(&["work"], 1)).await.unwrap();
    assert!(claim.calls.is_empty() && claim.crowded, "it is locked");
    assert!(claim.next.is_some_and(|next| next > Duration::ZERO && next < SOON), "{:?}", claim.next);
    let id = store.calls(Now::Database, &CallFilter::new()).await.unwrap().calls[0].id;
    let (target, retention) = (CancelTarget::Call(id), Retention::default());
    let end_waiting = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE query LIKE '%{schema}%' AND wait_event_type = 'Lock'"
    );
    let (cancelled, ()) = tokio::join!(store.cancel(Now::Database, &target, &retention), async {
        while home.number(&end_waiting).await == 0 {}
    });
    let error = cancelled.unwrap_err();
    assert!(error.is_transient() && !error.outcome_unknown(), "{error}");
    lock.rollback().await.unwrap();
    assert_eq!(store.cancel(Now::Database, &target, &retention).await.unwrap().calls, 1);
    home.remove().await;
}

#[tokio::test]
async fn a_write_whose_connection_is_ended_has_an_unknown_outcome() {
    let (mut home, store) = Home::migrated().await;
    let schema = home.schema.clone();
    let given = [call("work")];
    let mut blocking = PgConnection::connect(&home.url).await.unwrap();
    let mut lock = blocking.begin().await.unwrap();
    lock.execute(AssertSqlSafe(format!("LOCK TABLE {schema}.call"))).await.unwrap();
    let end_waiting = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE query LIKE '%{schema}%' AND wait_event_type = 'Lock'"
    );
    let (inserted, ()) = tokio::join!(store.insert(Now::Database, &given, false, SOON), async {
        while home.number(&end_waiting).await == 0 {}
    });
    let error = inserted.unwrap_err();
    assert!(error.is_transient() && error.outcome_unknown(), "{error}");
    lock.rollback().await.unwrap();
    let again = store.insert(Now::Database, &given, true, SOON).await.unwrap();
    assert_eq!(again, [Inserted::Stored]);
    assert_eq!(store.counts(Now::Database, u64::MAX).await.unwrap().scheduled, 1);
    home.remove().await;
}

#[tokio::test]
async fn a_locked_call_holds_up_no_other_lease() {
    let (home, store) = Home::migrated().await;
    let labelled = NewCall { identifier: Some("mine".to_owned()), ..call("work") };
    store.insert(Now::Database, &[labelled, call("work")], false, SOON).await.unwrap();
    let request = request(&["work"], 10);
    let claimed = store.claim(Now::Database, &request).await.unwrap().calls;
    assert_eq!(claimed.len(), 2);

    let mut transaction = store.link.pool.begin().await.unwrap();
    let lent = TransactionRef::Postgres(&mut transaction);
    let target = CancelTarget::Identifier("mine".to_owned());
    let cancelled = store.cancel_in(lent, &target, &Retention::default()).await.unwrap();
    assert_eq!(cancelled.running, 1);
    let renew = async |lease| {
        let renewed = store.renew(Now::Database, request.pod, &held(&claimed), lease).await.unwrap();
        renewed.into_iter().map(|renewed| (renewed.lease, renewed.cancelled)).collect::<Vec<_>>()
    };
    assert_eq!(renew(LEASE).await, [(Lease::Kept, false), (Lease::Held, false)]);
    transaction.commit().await.unwrap();
    assert_eq!(renew(LEASE).await, [(Lease::Held, true), (Lease::Held, false)]);
    home.remove().await;
}

#[tokio::test]
async fn other_defaults_of_the_server_and_poolers_change_nothing() {
    let (mut home, _) = Home::migrated().await;
    let with = |option: &str| {
        let url = home.url.clone();
        format!("{url}{}{option}", if url.contains('?') { '&' } else { '?' })
    };
    let urls = [
        with("options=-c%20default_transaction_isolation%3Dserializable"),
        with("statement-cache-capacity=0"),
    ];
    for url in urls {
        let mut pods = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = PostgresStore::open(&url, &home.schema).await.unwrap();
            pods.spawn(async move {
                store.insert(Now::Database, &calls("work", 50), false, SOON).await.unwrap();
                let request = request(&["work"], 7);
                let mut mine = 0;
                for claim_no in 1.. {
                    let request = ClaimRequest { claim_no, ..request.clone() };
                    let claim = store.claim(Now::Database, &request).await.unwrap();
                    mine += claim.calls.len();
                    if claim.calls.is_empty() && claim.next.is_none() {
                        break;
                    }
                }
                mine
            });
        }
        let claimed: usize = pods.join_all().await.into_iter().sum();
        assert_eq!(claimed, 200, "{url}");
        home.run("DELETE FROM futurecall.call").await;
    }
    home.remove().await;
}

#[tokio::test]
async fn every_microsecond_up_to_the_last_one_is_kept() {
    let (home, store) = Home::migrated().await;
    let moments = [0, 1, 999_999, 1_800_000_000_123_457, 9_007_199_254_740_993, 253_402_300_799_999_999];
    for micros in moments {
        let due = Moment::from_micros(micros).unwrap();
        let call = NewCall { due: Due::At(due), ..call("work") };
        store.insert(Now::At(due), std::slice::from_ref(&call), false, SOON).await.unwrap();
        let record = store.call(Now::Database, call.id).await.unwrap().unwrap();
        assert_eq!((record.due, record.created, record.state), (due, due, CallState::Scheduled));
    }
    home.remove().await;
}
