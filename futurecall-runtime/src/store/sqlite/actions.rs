//! What operators did.

use async_trait::async_trait;

use super::SqliteStore;
use super::tx::{no_nul, run};
use crate::id::ActionId;
use crate::store::{ActionFilter, ActionRecord, ActionStore, NewAction, Now, Result, records};

const DOING: &str = "record an action";

/// ?1 the id, ?2 now, ?3 who, ?4 what, ?5 to what, ?6 the call, ?7 the schedule.
const NOTE: &str = "
INSERT INTO futurecall_action (id, at, actor, verb, target, call_id, schedule_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (id) DO NOTHING";

/// ?1 the action, ?2 what came of it.
const SETTLE: &str = "UPDATE futurecall_action SET outcome = ?2 WHERE id = ?1";

/// ?1 before which action, ?2 how many, ?3 the call, ?4 the schedule; of the last two, what the index in use is over
/// stands first.
macro_rules! actions {
    ($of:literal) => {
        concat!(
            "
SELECT id, at, actor, verb, target, call_id, schedule_id, outcome FROM futurecall_action
WHERE ",
            $of,
            " AND (?1 IS NULL OR (at, id) < (SELECT b.at, b.id FROM futurecall_action b WHERE b.id = ?1))
ORDER BY at DESC, id DESC LIMIT ?2 + 0"
        )
    };
}

pub(super) const ALL: &str = actions!("?3 IS NULL AND ?4 IS NULL");

pub(super) const OF_CALL: &str = actions!("call_id = ?3 AND (?4 IS NULL OR schedule_id = ?4)");

pub(super) const OF_SCHEDULE: &str = actions!("schedule_id = ?4 AND ?3 IS NULL");

#[async_trait]
impl ActionStore for SqliteStore {
    async fn note_action(&self, now: Now, action: &NewAction) -> Result<()> {
        for (what, text) in
            [("a name", &action.actor), ("an action's word", &action.verb), ("a target", &action.target)]
        {
            no_nul(DOING, what, text)?;
        }
        let action = action.clone();
        run!(self.write, DOING, now, |tx| {
            let sql = tx
                .sql(NOTE)
                .bind(action.id.as_uuid())
                .bind(tx.now.as_micros())
                .bind(action.actor)
                .bind(action.verb)
                .bind(action.target)
                .bind(action.call.map(|id| id.as_uuid()))
                .bind(action.schedule.map(|id| id.as_uuid()));
            tx.run(sql).await.map(drop)
        })
        .await
    }

    async fn settle_action(&self, id: ActionId, outcome: &str) -> Result<()> {
        no_nul(DOING, "an outcome", outcome)?;
        let (id, outcome) = (id.as_uuid(), outcome.to_owned());
        run!(self.write, DOING, Now::Database, |tx| tx
            .run(tx.sql(SETTLE).bind(id).bind(outcome))
            .await
            .map(drop))
        .await
    }

    async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>> {
        let filter = filter.clone();
        run!(self.read, "list actions", Now::Database, |tx| {
            let of = match (filter.call, filter.schedule) {
                (Some(_), _) => OF_CALL,
                (None, Some(_)) => OF_SCHEDULE,
                (None, None) => ALL,
            };
            let limit = i64::try_from(filter.limit.clamp(1, 1_000)).unwrap_or(1_000);
            let sql = tx
                .sql(of)
                .bind(filter.before.map(|id| id.as_uuid()))
                .bind(limit)
                .bind(filter.call.map(|id| id.as_uuid()))
                .bind(filter.schedule.map(|id| id.as_uuid()));
            tx.rows(sql).await?.iter().map(records::action).collect()
        })
        .await
    }
}
