//! No statement of the engine's may walk a table: with a million calls waiting, each stays as quick as with ten.

use sqlx::AssertSqlSafe;
use sqlx::Row;

use super::super::{
    actions, cancel, chunks, claim, counting, finish, history, insert, listing, operate, pending, pods,
    release, requeue, reschedule, schedule, statistics, timetable,
};
use super::{application, folder, migrated};
use crate::moment::Moment;
use crate::store::listing_plan::Part;
use crate::store::{CallFilter, CallState};

const STATEMENTS: [(&str, &str); 60] = [
    ("claim::LANES", claim::LANES),
    ("claim::TAKE", claim::TAKE),
    ("claim::TAKE_TO_RERUN", claim::TAKE_TO_RERUN),
    ("claim::GATHER", claim::GATHER),
    ("claim::RUNS", claim::RUNS),
    ("claim::BEHIND", claim::BEHIND),
    ("release::CANCELLED", release::CANCELLED),
    ("release::GIVE_BACK", release::GIVE_BACK),
    ("pods::HAS_DECLINED", pods::HAS_DECLINED),
    ("pods::REOPEN", pods::REOPEN),
    ("history::HELD", history::HELD),
    ("history::RECORD", history::RECORD),
    ("history::REMOVE", history::REMOVE),
    ("history::RECORDED", history::RECORDED),
    ("finish::EXTEND", finish::EXTEND),
    ("finish::ENDED", finish::ENDED),
    ("requeue::CANCELLED", requeue::CANCELLED),
    ("requeue::HELD", requeue::HELD),
    ("requeue::AGAIN", requeue::AGAIN),
    ("requeue::RECORDED", requeue::RECORDED),
    ("history::BURY", history::BURY),
    ("history::FORGET", history::FORGET),
    ("finish::OLD", finish::OLD),
    ("finish::UNREAD", finish::UNREAD),
    ("cancel::COUNT", cancel::COUNT),
    ("cancel::FLAG", cancel::FLAG),
    ("cancel::FLAG_CALLS", cancel::FLAG_CALLS),
    ("cancel::RECORD", cancel::RECORD),
    ("cancel::REMOVE", cancel::REMOVE),
    ("cancel::UNCLAIMED", cancel::UNCLAIMED),
    ("cancel::FLAG_CLAIMED", cancel::FLAG_CLAIMED),
    ("cancel::RUNS", cancel::RUNS),
    ("cancel::RECORD_CALLS", cancel::RECORD_CALLS),
    ("cancel::REMOVE_CALLS", cancel::REMOVE_CALLS),
    ("chunks::GATHER", chunks::GATHER),
    ("reschedule::COUNT", reschedule::COUNT),
    ("reschedule::MOVE", reschedule::MOVE),
    ("reschedule::COUNT_CALLS", reschedule::COUNT_CALLS),
    ("reschedule::MOVE_CALLS", reschedule::MOVE_CALLS),
    ("reschedule::FIND", reschedule::FIND),
    ("reschedule::STORE", reschedule::STORE),
    ("insert::INSERT", insert::INSERT),
    ("timetable::BY_ID", timetable::BY_ID),
    ("timetable::BY_KEY", timetable::BY_KEY),
    ("timetable::RUNS", timetable::RUNS),
    ("timetable::REMOVE", timetable::REMOVE),
    ("timetable::STORE", timetable::STORE),
    ("timetable::UPDATE", timetable::UPDATE),
    ("schedule::SET_ORIGIN", schedule::SET_ORIGIN),
    ("schedule::RENAME_CALLS", schedule::RENAME_CALLS),
    ("insert::STORED", insert::STORED),
    ("finish::OLD_ACTIONS", finish::OLD_ACTIONS),
    ("finish::OLD_STATISTICS", finish::OLD_STATISTICS),
    ("operate::DELETE", operate::DELETE),
    ("operate::DELETE_LOGS", operate::DELETE_LOGS),
    ("operate::TRIGGER", operate::TRIGGER),
    ("actions::ALL", actions::ALL),
    ("actions::OF_CALL", actions::OF_CALL),
    ("actions::OF_SCHEDULE", actions::OF_SCHEDULE),
    ("statistics::READ", statistics::READ),
];

/// What people ask for; each goes down an index, and none sorts more than its answer.
const LOOKS: [(&str, &str); 10] = [
    ("listing::PLACE", listing::PLACE),
    ("listing::LANES", listing::LANES),
    ("listing::PAST_LANES", listing::PAST_LANES),
    ("counting::COUNTS", counting::COUNTS),
    ("counting::PAST", counting::PAST),
    ("counting::BEFORE", counting::BEFORE),
    ("counting::STRETCHES", counting::STRETCHES),
    ("pending::NAMES", pending::NAMES),
    ("pending::LANES", pending::LANES),
    ("pending::KEYS", pending::KEYS),
];

async fn plan(pool: &sqlx::SqlitePool, sql: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query(explain).fetch_all(pool).await.expect("a plan");
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn no_statement_walks_a_table() {
    let (_folder, url) = folder();
    let _store = migrated(&url).await;
    let pool = application(&url).await;
    for (name, sql) in STATEMENTS {
        let plan = plan(&pool, sql).await;
        let walks = |step: &&String| {
            let tables = [
                "futurecall_call",
                "futurecall_finished",
                "futurecall_statistics",
                "futurecall_log",
                "c",
                "f",
                "s",
                "x",
                "later",
            ];
            let walked = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            // That index has nothing in it but calls that were declined.
            let is_short = step.ends_with("USING INDEX futurecall_call_declined");
            !is_short && walked.is_some_and(|table| tables.contains(&table))
        };
        assert_eq!(plan.iter().find(walks), None, "{name}: {plan:#?}");
    }
}

/// SQLite looks at the value of a `LIMIT` that is a parameter and nothing else, so as to plan for it, and then prepares
/// the statement again for every run: that took a claim half a millisecond. `LIMIT ?1 + 0` it leaves alone.
#[test]
fn no_statement_is_prepared_for_every_run() {
    for (name, sql) in STATEMENTS.into_iter().chain(LOOKS) {
        let bare = sql.split("LIMIT ?").skip(1).find(|rest| {
            let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            !behind.starts_with(" +")
        });
        assert_eq!(bare, None, "{name}");
    }
}

#[tokio::test]
async fn a_claim_steps_down_the_due_index() {
    let (_folder, url) = folder();
    let _store = migrated(&url).await;
    let pool = application(&url).await;
    let lanes = plan(&pool, claim::LANES).await;
    for step in [
        "SEARCH c USING COVERING INDEX futurecall_call_due (name=?)",
        "SEARCH c USING COVERING INDEX futurecall_call_due (name=? AND priority>?)",
        "SEARCH x USING COVERING INDEX futurecall_call_due (name=? AND priority=?)",
        "SEARCH x USING INDEX futurecall_call_due (name=? AND priority=? AND due_at<?)",
    ] {
        assert!(lanes.iter().any(|taken| taken == step), "{step} in {lanes:#?}");
    }
    let take = plan(&pool, claim::TAKE).await;
    let step = "SEARCH x USING INDEX futurecall_call_due (name=? AND priority=? AND due_at<?)";
    assert!(take.iter().any(|taken| taken == step), "{step} in {take:#?}");
    // The index gives a lane's calls in order: none of them is sorted.
    let lane = "SELECT id FROM futurecall_call WHERE claimed_by IS NULL AND name = 'a' AND priority = 0 AND due_at <= 5 \
                ORDER BY due_at, id LIMIT 10";
    assert_eq!(plan(&pool, lane).await.len(), 1);
}

#[tokio::test]
async fn no_look_reads_a_table_row_by_row() {
    let (_folder, url) = folder();
    let _store = migrated(&url).await;
    let pool = application(&url).await;
    for (name, sql) in LOOKS {
        let plan = plan(&pool, sql).await;
        let reads = |step: &&String| {
            let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            table.is_some_and(|table| ["c", "f", "n", "one"].contains(&table))
                && !step.contains("INDEX futurecall_")
        };
        assert_eq!(plan.iter().find(reads), None, "{name}: {plan:#?}");
    }
}

#[tokio::test]
async fn a_page_is_merged_from_lanes_that_come_in_order() {
    let (_folder, url) = folder();
    let _store = migrated(&url).await;
    let pool = application(&url).await;
    let since = CallFilter::new().since(Moment::MIN).until(Moment::MAX);
    let after = Some((7, uuid::Uuid::nil()));
    let scheduled = CallFilter::new().state(CallState::Scheduled);
    for (part, filter, index) in [
        (Part::Pending, scheduled.clone(), "COVERING INDEX futurecall_call_due (name=? AND priority=?"),
        (Part::Pending, scheduled.error("x"), "COVERING INDEX futurecall_call_due (name=? AND priority=?"),
        (Part::Past, CallFilter::new(), "COVERING INDEX futurecall_finished_at (name=? AND state=?"),
        (Part::Past, since, "COVERING INDEX futurecall_finished_at (name=? AND state=? AND finished_at"),
        (
            Part::Past,
            CallFilter::new().error("x"),
            "COVERING INDEX futurecall_finished_at (name=? AND state=?",
        ),
    ] {
        for after in [None, after] {
            let asked = listing::Asked { part, filter: &filter, after };
            let lanes = ["a", "b", "c", "d", "e"].map(|name| (name.to_owned(), 1)).to_vec();
            let page = asked.statement(listing::PAGE, &listing::Share::of(lanes), 100);
            let plan = plan(&pool, &page).await;
            let arms = plan.iter().filter(|step| step.contains(index)).count();
            assert_eq!(arms, 5, "{filter:?}: {plan:#?}");
            let sorts = |step: &&String| step.contains("TEMP B-TREE") || step.starts_with("SCAN c");
            assert_eq!(plan.iter().find(sorts), None, "{filter:?}: {plan:#?}");
        }
    }
}
