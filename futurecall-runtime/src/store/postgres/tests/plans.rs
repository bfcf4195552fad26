//! How the server carries out what a pod asks of it, on a table with much that has nothing to do with it.

use crate::id::PodId;
use crate::store::{ClaimRequest, Now, PostgresStore};
use std::collections::{BTreeMap, BTreeSet};

use super::super::claim::{CLAIM, FIND, bind_claim_all, bind_find};
use super::super::claim_rows::Asked;
use super::super::sql::Query;
use super::*;
use crate::store::PodBeat;

/// What a pod says of itself that runs nothing.
pub(super) fn beat() -> PodBeat {
    PodBeat {
        id: PodId::new(),
        label: "a pod".to_owned(),
        role: "monolith".to_owned(),
        version: "0".to_owned(),
        names: Vec::new(),
        shapes: BTreeMap::new(),
        schedules: Vec::new(),
        redacted: BTreeMap::new(),
        slots: 1,
        running: 0,
    }
}

/// How a claim is carried out.
async fn claim_plan(store: &PostgresStore, request: &ClaimRequest) -> String {
    let names: BTreeSet<&str> = request.names.iter().map(|(name, _)| name.as_str()).collect();
    store.survey(Now::Database, request, &names).await.expect("a survey");
    let lanes = store.lanes.due(&names, store.lanes.clock(Now::Database), &BTreeSet::new());
    let turns = vec![0; lanes.len()];
    let asked = Asked::of(lanes, &turns, request.limit, 1_000);
    let query = bind_claim_all(explained(store, CLAIM), Now::Database, request, &[], &asked);
    plan(store, query).await
}

/// How that is found what a claim took.
async fn find_plan(store: &PostgresStore, pod: PodId, claim_no: i64) -> String {
    plan(store, bind_find(explained(store, FIND), pod, claim_no, store.lanes.latest())).await
}

fn explained(store: &PostgresStore, template: &str) -> Query {
    store.composed(&format!("EXPLAIN (ANALYZE, BUFFERS, COSTS) {template}"))
}

async fn plan(store: &PostgresStore, query: Query) -> String {
    let rows = store.read("explain", query).await.expect("a plan");
    rows.iter().map(|row| row.row.get::<String, _>(0) + "\n").collect()
}

/// How many pages were looked at, at most.
fn pages(plan: &str) -> u64 {
    plan.lines()
        .filter_map(|line| line.trim().strip_prefix("Buffers: shared hit="))
        .filter_map(|hit| hit.split(' ').next()?.parse().ok())
        .max()
        .expect("a plan says how much it has read")
}

#[tokio::test]
async fn a_claim_reads_nothing_of_other_names_and_little_of_its_own() {
    let (mut home, store) = Home::migrated().await;
    home.run(
        "INSERT INTO futurecall.call (id, name, due_at, args)
         SELECT gen_random_uuid(), CASE WHEN n % 100 = 0 THEN 'known' ELSE 'unknown' END,
             now() - n * interval '1 ms', '{}' FROM generate_series(1, 100000) AS n",
    )
    .await;
    home.run("ANALYZE futurecall.call").await;
    // Six times: from then on the server may plan once for all parameters.
    for _ in 0..6 {
        let claim = store.claim(Now::Database, &request(&["known", "missing"], 10)).await.unwrap();
        assert_eq!(claim.calls.len(), 10);
    }
    let wanted = request(&["known", "missing"], 10);
    let plan = claim_plan(&store, &wanted).await;
    assert!(plan.contains("call_due"), "{plan}");
    assert!(!plan.contains("Seq Scan on call"), "{plan}");
    assert!(!plan.contains("JIT"), "compiling takes longer than claiming: {plan}");
    assert!(pages(&plan) < 1_500, "{plan}");
    home.remove().await;
}

#[tokio::test]
async fn what_a_lost_claim_took_is_found_without_reading_what_lies_ahead() {
    let (mut home, store) = Home::migrated().await;
    // A pod that has looked while the table was empty: nothing of that may hold on.
    let request = request(&["work 3"], 10);
    for _ in 0..6 {
        assert_eq!(store.find_claim(request.pod, request.claim_no).await.unwrap(), []);
    }
    home.run(
        "INSERT INTO futurecall.call (id, name, due_at, args)
         SELECT gen_random_uuid(), 'work ' || n % 10, now() + (n - 1000) * interval '1 s', '{}'
         FROM generate_series(1, 100000) AS n",
    )
    .await;
    let taken = store.claim(Now::Database, &request).await.unwrap().calls;
    assert_eq!(taken.len(), 10);
    for analyzed in [false, true] {
        if analyzed {
            home.run("ANALYZE futurecall.call").await;
        }
        assert_eq!(store.find_claim(request.pod, request.claim_no).await.unwrap(), taken);
        let plan = find_plan(&store, request.pod, request.claim_no).await;
        assert!(!plan.contains("Seq Scan on call"), "{plan}");
        assert!(!plan.contains("JIT"), "compiling takes longer than looking: {plan}");
        assert!(pages(&plan) < 1_500, "{plan}");
    }
    home.remove().await;
}
