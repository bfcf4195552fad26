//! Pages of calls, and how many calls a filter lets through.

use async_trait::async_trait;

use super::SqliteStore;
use super::counting::{lanes as all_lanes, past as past_lanes};
use super::inspect::{CALL, FINISHED};
use super::tx::{Row, Sql, Tx, batch, limit as rows_of, no_nul, run};
use crate::id::CallId;
use crate::moment::Moment;
use crate::store::columns::Columns as _;
use crate::store::cursor::Cursor;
use crate::store::listing_plan::{
    Found, Key, LANES_AT_ONCE, LOOKED_AT, Page, Part, Way, capped, left, past_states, wanted,
};
use crate::store::{CallFilter, CallPage, CallState, ListingStore, Now, Result, records};

const LIST: &str = "list calls";

const COUNT: &str = "count calls";

/// ?1 the call.
pub(super) const PLACE: &str = "
SELECT due_at, NULL AS ended FROM futurecall_call WHERE id = ?1
UNION ALL SELECT due_at, finished_at FROM futurecall_finished WHERE id = ?1
LIMIT 1";

/// ?1 a name, if only its lanes are asked for.
pub(super) const LANES: &str = concat!(
    "WITH RECURSIVE ",
    all_lanes!(),
    " SELECT name, priority AS code FROM lane WHERE ?1 IS NULL OR name = ?1"
);

/// ?1 the same, ?2 states.
pub(super) const PAST_LANES: &str = concat!(
    "WITH RECURSIVE ",
    past_lanes!(),
    " SELECT name, state AS code FROM past
WHERE (?1 IS NULL OR name = ?1) AND state IN (SELECT value FROM json_each(?2))"
);

/// The arms are merged in order, none of them further than it must; only then are the rows looked at.
pub(super) const PAGE: &str = "
SELECT :columns, l.moment FROM (:arms ORDER BY 2 :order, 3 :order LIMIT :looked) AS l
CROSS JOIN :table AS c ON c.rowid = l.row WHERE :rest LIMIT ?12 + 0";

const STOPPED: &str = "
SELECT moment, id FROM (:arms ORDER BY 2 :order, 3 :order LIMIT :looked) LIMIT 1 OFFSET :looked - 1";

const HOW_MANY: &str = "SELECT count(*) AS calls FROM (SELECT 1 FROM (:arms LIMIT ?12 + 0))";

const HOW_MANY_LOOKED_AT: &str = "
SELECT count(*) AS calls FROM (
    SELECT 1 FROM (:arms ORDER BY 2 :order, 3 :order LIMIT :looked) AS l
    CROSS JOIN :table AS c ON c.rowid = l.row WHERE :rest LIMIT ?12 + 0)";

/// Where all are looked at, their order does not matter.
const HOW_MANY_OF_ALL: &str = "
SELECT count(*) AS calls FROM (
    SELECT 1 FROM (:arms) AS l CROSS JOIN :table AS c ON c.rowid = l.row WHERE :rest LIMIT ?12 + 0)";

/// A table is read quickest in its own order.
const HOW_MANY_OF_TABLE: &str = "
SELECT count(*) AS calls FROM (SELECT 1 FROM :table AS c NOT INDEXED WHERE :rest AND :state LIMIT ?12 + 0)";

type Lane = (String, i16);

#[async_trait]
impl ListingStore for SqliteStore {
    async fn calls(&self, now: Now, filter: &CallFilter) -> Result<CallPage> {
        refuse(LIST, filter)?;
        let filter = filter.clone();
        run!(self.read, LIST, now, |tx| page(&mut tx, &filter).await).await
    }

    async fn count(&self, now: Now, filter: &CallFilter, cap: u64) -> Result<u64> {
        refuse(COUNT, filter)?;
        let filter = filter.clone();
        run!(self.read, COUNT, now, |tx| count_parts(&mut tx, &filter, cap).await).await
    }
}

async fn page(tx: &mut Tx<'_>, filter: &CallFilter) -> Result<CallPage> {
    let after = match (filter.beyond, filter.after) {
        (Some(place), _) => Some(place),
        (None, None) => None,
        (None, Some(id)) => match place(tx, id).await? {
            None => return Ok(CallPage::default()),
            found => found,
        },
    };
    let mut page = Page::new(filter);
    for (part, after) in left(filter, after) {
        let lacks = page.lacks();
        if lacks > 0 {
            page.add(find(tx, &Asked { part, filter, after }, lacks).await?, part);
        }
    }
    Ok(page.done())
}

async fn count_parts(tx: &mut Tx<'_>, filter: &CallFilter, cap: u64) -> Result<u64> {
    let mut calls = 0_u64;
    for part in wanted(filter) {
        if calls < cap {
            let asked = Asked { part, filter, after: None };
            calls = calls.saturating_add(how_many(tx, &asked, cap).await?);
        }
    }
    Ok(calls.min(cap))
}

fn refuse(doing: &'static str, filter: &CallFilter) -> Result<()> {
    no_nul(doing, "a name", filter.name.as_deref().unwrap_or_default())?;
    no_nul(doing, "an identifier", filter.identifier.as_deref().unwrap_or_default())?;
    no_nul(doing, "a text", filter.error.as_deref().unwrap_or_default())
}

/// Where in the listing a call stands.
async fn place(tx: &mut Tx<'_>, id: CallId) -> Result<Option<Cursor>> {
    let id = id.as_uuid();
    let row = tx.row(tx.sql(PLACE).bind(id)).await?;
    row.map(|row| Ok(Cursor { id, due: row.get("due_at")?, ended: row.find("ended")? })).transpose()
}

/// What is looked for in one table.
pub(super) struct Asked<'a> {
    pub(super) part: Part,
    pub(super) filter: &'a CallFilter,
    pub(super) after: Option<Key>,
}

impl Asked<'_> {
    fn way(&self) -> Way {
        Way::of(self.part, self.filter)
    }

    /// What is left to be asked of each row; empty where the way is all.
    fn rest(&self) -> String {
        let (filter, way) = (self.filter, self.way());
        let is_by_lane = way.is_by_lane();
        let state = match (self.part, filter.state) {
            (_, None) => None,
            (Part::Pending, Some(CallState::Running)) => (!is_by_lane).then_some(":pod IS NOT NULL"),
            (Part::Pending, Some(_)) => (!is_by_lane || way == Way::Running).then_some(":pod IS NULL"),
            (Part::Past, Some(_)) => (!is_by_lane).then_some("c.state IN (SELECT value FROM json_each(?11))"),
        };
        let rest = [
            (filter.name.is_some() && !is_by_lane).then_some("c.name = ?10"),
            (filter.identifier.is_some() && way == Way::Schedule).then_some("c.identifier = ?5"),
            state,
            filter.pod.is_some().then_some(":pod = ?7"),
            // SQLite knows the lower case of the letters A to Z alone.
            filter.error.is_some().then_some("instr(lower(c.error), ?8) > 0"),
        ];
        rest.into_iter().flatten().collect::<Vec<_>>().join(" AND ")
    }

    /// The statement's sources: each gives its rows in order, down an index, but for the few that are claimed.
    fn arms(&self, share: &Share) -> String {
        let (table, moment, code) = match self.part {
            Part::Pending => ("futurecall_call", "c.due_at", "priority"),
            Part::Past => ("futurecall_finished", "c.finished_at", "state"),
        };
        let mut bounds = String::new();
        for (is_asked, bound) in [
            (self.after.is_some() && self.part == Part::Pending, "(:moment, c.id) > (?1, ?2)"),
            (self.after.is_some() && self.part == Part::Past, "(:moment, c.id) < (?1, ?2)"),
            (self.filter.since.is_some(), ":moment >= ?3"),
            (self.filter.until.is_some(), ":moment < ?4"),
        ] {
            if is_asked {
                bounds.extend([" AND ", bound]);
            }
        }
        let arm = |index: &str, which: &str| {
            let arm = format!(
                "SELECT c.rowid AS row, :moment AS moment, c.id AS id FROM {table} AS c \
                 INDEXED BY {table}_{index} WHERE {which}{bounds}"
            );
            arm.replace(":moment", moment).replace(":code", code)
        };
        let lane = |n| format!("c.name = ?9 ->> '$[{n}][0]' AND c.:code = ?9 ->> '$[{n}][1]'");
        let all = 0..share.lanes.len();
        let arms: Vec<_> = match (self.way(), self.part) {
            (Way::Schedule, _) => vec![arm("schedule", "c.schedule_id = ?6")],
            (Way::Identifier, _) => vec![arm("identifier", "c.identifier = ?5")],
            (Way::Running, _) => Vec::new(),
            (Way::Lanes, Part::Pending) => {
                all.map(|n| arm("due", &format!("c.claimed_by IS NULL AND {}", lane(n)))).collect()
            }
            (Way::Lanes, Part::Past) => all.map(|n| arm("at", &lane(n))).collect(),
        };
        let name = if self.filter.name.is_some() { " AND c.name = ?10" } else { "" };
        let claimed = share.claimed.then(|| arm("claimed", &format!("c.claimed_by IS NOT NULL{name}")));
        claimed.into_iter().chain(arms).collect::<Vec<_>>().join(" UNION ALL ")
    }

    /// A template's statement with the arms of these lanes, of whose rows it looks at `looked` at most.
    pub(super) fn statement(&self, template: &str, share: &Share, looked: u64) -> String {
        let (columns, table, pod) = match self.part {
            Part::Pending => (CALL, "futurecall_call", "c.claimed_by"),
            Part::Past => (FINISHED, "futurecall_finished", "c.pod"),
        };
        let rest = self.rest();
        let rest = if rest.is_empty() { "true" } else { &rest };
        template
            .replace(":arms", &self.arms(share))
            .replace(":columns", columns)
            .replace(":table", table)
            .replace(":order", self.part.order())
            .replace(":looked", &capped(looked).to_string())
            .replace(":rest", rest)
            .replace(":state", self.state())
            .replace(":pod", pod)
    }

    fn bound(&self, sql: Sql, share: &Share, wanted: i64) -> Result<Sql> {
        let filter = self.filter;
        let micros = |moment: Option<Moment>| moment.map(Moment::as_micros);
        Ok(sql
            .bind(self.after.map(|key| key.0))
            .bind(self.after.map(|key| key.1))
            .bind(micros(filter.since))
            .bind(micros(filter.until))
            .bind(filter.identifier.clone())
            .bind(filter.schedule.map(|schedule| schedule.as_uuid()))
            .bind(filter.pod.map(|pod| pod.as_uuid()))
            .bind(filter.error.as_ref().map(|text| text.to_ascii_lowercase()))
            .bind(batch(LIST, &share.lanes)?)
            .bind(filter.name.clone())
            .bind(states(filter)?)
            .bind(wanted)
            .persistent(false))
    }

    /// Whether it would look at a good part of the table, were it to look at all that the filter's index has.
    fn is_about_most(&self) -> bool {
        let filter = self.filter;
        let is_narrowed = filter.name.is_some() || filter.since.is_some() || filter.until.is_some();
        self.way() == Way::Lanes && !self.rest().is_empty() && !is_narrowed
    }

    /// What lanes would have left out.
    const fn state(&self) -> &'static str {
        match (self.part, self.filter.state) {
            (_, None) => "true",
            (Part::Pending, Some(_)) => ":pod IS NULL",
            (Part::Past, Some(_)) => "c.state IN (SELECT value FROM json_each(?11))",
        }
    }

    fn is_stopped_early(&self) -> bool {
        !self.rest().is_empty() && self.way() != Way::Running
    }
}

/// What one statement merges.
#[derive(Debug, Default)]
pub(super) struct Share {
    lanes: Vec<Lane>,
    /// Whether what is claimed is among it.
    claimed: bool,
}

impl Share {
    #[cfg(test)]
    pub(super) const fn of(lanes: Vec<Lane>) -> Self {
        Self { lanes, claimed: false }
    }
}

/// All that is to be merged, in shares.
async fn shares(tx: &mut Tx<'_>, asked: &Asked<'_>) -> Result<Vec<Share>> {
    let (way, state) = (asked.way(), asked.filter.state);
    // Claimed calls stand in another index than those that wait.
    let claimed =
        asked.part == Part::Pending && (way == Way::Running || way == Way::Lanes && state.is_none());
    let mut shares = vec![Share { lanes: Vec::new(), claimed }];
    if way != Way::Lanes {
        return Ok(shares);
    }
    let name = asked.filter.name.clone();
    let sql = match asked.part {
        Part::Pending => tx.sql(LANES).bind(name),
        Part::Past => tx.sql(PAST_LANES).bind(name).bind(states(asked.filter)?),
    };
    let rows = tx.rows(sql).await?;
    let lanes = rows.iter().map(records::lane).collect::<Result<Vec<Lane>>>()?;
    for (n, lanes) in lanes.chunks(LANES_AT_ONCE).enumerate() {
        shares.resize_with(n + 1, Share::default);
        if let Some(share) = shares.last_mut() {
            share.lanes = lanes.to_vec();
        }
    }
    shares.retain(|share| share.claimed || !share.lanes.is_empty());
    Ok(shares)
}

fn states(filter: &CallFilter) -> Result<String> {
    batch(LIST, &past_states(filter).collect::<Vec<_>>())
}

/// The first so many of one table that the filter lets through.
async fn find(tx: &mut Tx<'_>, asked: &Asked<'_>, wanted: usize) -> Result<Found> {
    let looked = if asked.rest().is_empty() { wanted as u64 } else { LOOKED_AT };
    let mut found = Found::default();
    for share in shares(tx, asked).await? {
        let sql = tx.composed(&asked.statement(PAGE, &share, looked));
        let rows = tx.rows(asked.bound(sql, &share, rows_of(wanted))?).await?;
        let mut stopped = None;
        if asked.is_stopped_early() && rows.len() < wanted {
            let sql = tx.composed(&asked.statement(STOPPED, &share, looked));
            stopped = tx.row(asked.bound(sql, &share, 0)?).await?.as_ref().map(key).transpose()?;
        }
        let calls = rows.iter().map(|row| Ok((key(row)?, records::call(row)?))).collect::<Result<_>>()?;
        found = found.and(Found { calls, stopped }, asked.part, wanted);
    }
    Ok(found)
}

/// How many of one table the filter lets through, of as many as are looked at.
async fn how_many(tx: &mut Tx<'_>, asked: &Asked<'_>, cap: u64) -> Result<u64> {
    if cap > LOOKED_AT && asked.is_about_most() {
        let sql = tx.composed(&asked.statement(HOW_MANY_OF_TABLE, &Share::default(), LOOKED_AT));
        return tx.one(asked.bound(sql, &Share::default(), capped(cap))?).await?.get("calls");
    }
    let template = match asked.rest().is_empty() {
        true => HOW_MANY,
        false if cap > LOOKED_AT => HOW_MANY_OF_ALL,
        false => HOW_MANY_LOOKED_AT,
    };
    let mut calls = 0_u64;
    for share in shares(tx, asked).await? {
        let sql = tx.composed(&asked.statement(template, &share, LOOKED_AT));
        let row = tx.one(asked.bound(sql, &share, capped(cap))?).await?;
        calls = calls.saturating_add(row.get("calls")?);
        if calls >= cap {
            break;
        }
    }
    Ok(calls)
}

fn key(row: &Row) -> Result<Key> {
    Ok((row.get("moment")?, row.get("id")?))
}
