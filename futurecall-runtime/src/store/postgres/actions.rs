//! What operators did.

use async_trait::async_trait;

use super::PostgresStore;
use super::encoding::{Spelled as _, ascii, is_refused};
use super::sql::at;
use crate::id::ActionId;
use crate::store::{ActionFilter, ActionRecord, ActionStore, NewAction, Now, Result, records};

const DOING: &str = "record an action";

const LISTING: &str = "list actions";

/// $2 the id, $3 who, $4 what, $5 to what, $6 the call, $7 the schedule.
const NOTE: &str = "
    INSERT INTO futurecall.action (id, at, actor, verb, target, call_id, schedule_id)
    VALUES ($2::uuid, {now}, $3::text, $4::text, $5::text, $6::uuid, $7::uuid)
    ON CONFLICT (id) DO NOTHING";

/// $1 the action, $2 what came of it.
const SETTLE: &str = "UPDATE futurecall.action AS a SET outcome = $2::text WHERE a.id = $1::uuid";

/// $1 before which action, $2 how many, $3 the call, $4 the schedule.
macro_rules! actions {
    ($of:literal) => {
        concat!(
            "
    SELECT a.id, {us a.at} AS at, a.actor, a.verb, a.target, a.call_id, a.schedule_id, a.outcome
    FROM futurecall.action AS a
    WHERE ",
            $of,
            " AND ($1::uuid IS NULL
            OR (a.at, a.id) < (SELECT b.at, b.id FROM futurecall.action AS b WHERE b.id = $1::uuid))
    ORDER BY a.at DESC, a.id DESC LIMIT $2::bigint"
        )
    };
}

const ALL: &str = actions!("$3::uuid IS NULL AND $4::uuid IS NULL");

const OF_CALL: &str = actions!("a.call_id = $3::uuid AND ($4::uuid IS NULL OR a.schedule_id = $4::uuid)");

const OF_SCHEDULE: &str = actions!("a.schedule_id = $4::uuid AND $3::uuid IS NULL");

#[async_trait]
impl ActionStore for PostgresStore {
    async fn note_action(&self, now: Now, action: &NewAction) -> Result<()> {
        let done = self.note_action_of(now, action).await;
        if is_refused(&done) { self.note_action_of(now, &action.in_ascii()).await } else { done }
    }

    async fn settle_action(&self, id: ActionId, outcome: &str) -> Result<()> {
        let done = self.settle_action_of(id, outcome).await;
        if is_refused(&done) { self.settle_action_of(id, &ascii(outcome)).await } else { done }
    }

    async fn actions(&self, filter: &ActionFilter) -> Result<Vec<ActionRecord>> {
        let of = match (filter.call, filter.schedule) {
            (Some(_), _) => OF_CALL,
            (None, Some(_)) => OF_SCHEDULE,
            (None, None) => ALL,
        };
        let limit = i64::try_from(filter.limit.clamp(1, 1_000)).unwrap_or(1_000);
        let query = self
            .query(of)
            .bind(filter.before.map(|id| id.as_uuid()))
            .bind(limit)
            .bind(filter.call.map(|id| id.as_uuid()))
            .bind(filter.schedule.map(|id| id.as_uuid()));
        self.read(LISTING, query).await?.iter().map(records::action).collect()
    }
}

impl PostgresStore {
    async fn note_action_of(&self, now: Now, action: &NewAction) -> Result<()> {
        let query = self
            .query(NOTE)
            .bind(at(now))
            .bind(action.id.as_uuid())
            .bind(action.actor.clone())
            .bind(action.verb.clone())
            .bind(action.target.clone())
            .bind(action.call.map(|id| id.as_uuid()))
            .bind(action.schedule.map(|id| id.as_uuid()));
        self.write(DOING, query).await.map(drop)
    }

    async fn settle_action_of(&self, id: ActionId, outcome: &str) -> Result<()> {
        let query = self.query(SETTLE).bind(id.as_uuid()).bind(outcome.to_owned());
        self.write(DOING, query).await.map(drop)
    }
}
