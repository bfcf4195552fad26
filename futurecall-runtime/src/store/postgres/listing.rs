//! Pages of calls, and how many calls a filter lets through.

use async_trait::async_trait;

use super::PostgresStore;

use super::finish::as_limit;
use super::inspect::{FINISHED, PENDING};
use super::snapshot_read::Look;
use super::sql::{Query, Row, at};
use crate::id::CallId;
use crate::moment::Moment;
use crate::store::columns::Columns as _;
use crate::store::cursor::Cursor;
use crate::store::listing_plan::{
    Found, Key, LANES_AT_ONCE, LOOKED_AT, Page, Part, Way, capped, left, past_states, wanted,
};
use crate::store::{CallFilter, CallPage, CallState, ListingStore, Now, Result, records};

const LISTING: &str = "list calls";

const COUNTING: &str = "count calls";

const PLACE: &str = "
    SELECT {us c.due_at} AS due, NULL::bigint AS ended FROM futurecall.call AS c WHERE c.id = $1::uuid
    UNION ALL
    SELECT {us f.due_at}, {us f.finished_at} FROM futurecall.finished AS f WHERE f.id = $1::uuid
    LIMIT 1";

/// $1 a name, if only its lanes are asked for.
const LANES: &str = "
    WITH RECURSIVE {lanes} SELECT l.name, l.priority AS code FROM lane AS l WHERE $1::text IS NULL OR l.name = $1::text";

/// $1 the same, $2 states.
const PAST_LANES: &str = "
    WITH RECURSIVE {past} SELECT p.name, p.state AS code FROM past AS p
    WHERE ($1::text IS NULL OR p.name = $1::text) AND p.state = ANY ($2::smallint[])";

/// What an arm gives of each row, besides its place, where each row is looked at.
const PENDING_LOOK: &str = ", c.name, c.identifier, c.claimed_by AS pod, c.error";

const PAST_LOOK: &str = ", f.name, f.identifier, f.pod, f.error, f.state";

/// The arms are merged in order, none of them further than it must.
const PAGE: &str = "
    SELECT :columns, {us k.moment} AS moment FROM (
        SELECT l.id, l.moment FROM (
            SELECT a.* FROM (:arms) AS a ORDER BY a.moment :order, a.id :order LIMIT :looked
        ) AS l WHERE :rest LIMIT $12::bigint
    ) AS k JOIN :table ON :row.id = k.id ORDER BY k.moment :order, k.id :order";

const STOPPED: &str = "
    SELECT {us a.moment} AS moment, a.id FROM (:arms) AS a ORDER BY a.moment :order, a.id :order
    OFFSET :looked - 1 LIMIT 1";

const COUNT: &str = "
    SELECT count(*) AS calls FROM (
        SELECT FROM (SELECT a.* FROM (:arms) AS a:sorted) AS l WHERE :rest LIMIT $12::bigint
    ) AS n";

/// Of more than a page looks through, however the planner likes best: most of a table is counted quickest in its own order.
const COUNT_ALL: &str = "
    SELECT count(*) AS calls FROM (SELECT FROM (:all) AS l WHERE true:every LIMIT $12::bigint) AS n";

/// A table's rows under the names that conditions have for them.
const ALL_PENDING: &str = "
    SELECT c.due_at AS moment, c.name, c.identifier, c.schedule_id AS schedule, c.claimed_by AS pod, c.error
    FROM futurecall.call AS c";

const ALL_PAST: &str = "
    SELECT f.finished_at AS moment, f.name, f.identifier, f.schedule_id AS schedule, f.pod, f.error, f.state
    FROM futurecall.finished AS f";

#[async_trait]
impl ListingStore for PostgresStore {
    async fn calls(&self, now: Now, filter: &CallFilter) -> Result<CallPage> {
        let mut look = self.look(LISTING).await?;
        let after = match (filter.beyond, filter.after) {
            (Some(place), _) => Some(place),
            (None, None) => None,
            (None, Some(id)) => match place(&mut look, id).await? {
                None => return Ok(CallPage::default()),
                found => found,
            },
        };
        let mut page = Page::new(filter);
        for (part, after) in left(filter, after) {
            let lacks = page.lacks();
            if lacks > 0 {
                page.add(find(&mut look, &Asked { part, now, filter, after }, lacks).await?, part);
            }
        }
        Ok(page.done())
    }

    async fn count(&self, now: Now, filter: &CallFilter, cap: u64) -> Result<u64> {
        let is_all = cap > LOOKED_AT;
        let mut look = if is_all { self.look_through(COUNTING).await? } else { self.look(COUNTING).await? };
        let mut calls = 0_u64;
        for part in wanted(filter) {
            let asked = Asked { part, now, filter, after: None };
            let cap = cap.saturating_sub(calls);
            let found = if cap == 0 {
                0
            } else if is_all {
                how_many_of_all(&mut look, &asked, cap).await?
            } else {
                how_many(&mut look, &asked, cap).await?
            };
            calls = calls.saturating_add(found);
        }
        Ok(calls)
    }
}

/// Where in the listing a call stands.
async fn place(look: &mut Look<'_>, id: CallId) -> Result<Option<Cursor>> {
    let (id, row) = (id.as_uuid(), look.row(look.query(PLACE).bind(id.as_uuid())).await?);
    row.map(|row| Ok(Cursor { id, due: row.get("due")?, ended: row.find("ended")? })).transpose()
}

/// What is looked for in one table.
struct Asked<'a> {
    part: Part,
    now: Now,
    filter: &'a CallFilter,
    after: Option<Key>,
}

type Lane = (String, i16);

impl Asked<'_> {
    fn way(&self) -> Way {
        Way::of(self.part, self.filter)
    }

    /// What is left to be asked of each row; empty where the way is all.
    fn rest(&self) -> String {
        self.conditions(Some(self.way())).collect::<Vec<_>>().join(" AND ")
    }

    /// What a row that was come by in that way must be; in none: all that the filter asks.
    fn conditions(&self, way: Option<Way>) -> impl Iterator<Item = &'static str> {
        let filter = self.filter;
        let is_by_lane = way.is_some_and(Way::is_by_lane);
        let state = match (self.part, filter.state) {
            (_, None) => None,
            (Part::Pending, Some(CallState::Running)) => Some("l.pod IS NOT NULL"),
            (Part::Pending, Some(_)) => Some("l.pod IS NULL"),
            (Part::Past, Some(_)) => (!is_by_lane).then_some("l.state = ANY ($14::smallint[])"),
        };
        let is_labelled = filter.identifier.is_some() && matches!(way, None | Some(Way::Schedule));
        let conditions = [
            (filter.name.is_some() && !is_by_lane).then_some("l.name = $13::text"),
            is_labelled.then_some("l.identifier = $6::text"),
            (filter.schedule.is_some() && way.is_none()).then_some("l.schedule = $7::uuid"),
            (filter.since.is_some() && way.is_none()).then_some("l.moment >= {at $4::bigint}"),
            (filter.until.is_some() && way.is_none()).then_some("l.moment < {at $5::bigint}"),
            state,
            filter.pod.is_some().then_some("l.pod = $8::uuid"),
            // In this collation the letters A to Z alone have a lower case.
            filter
                .error
                .is_some()
                .then_some("strpos(lower(l.error COLLATE \"C\"), $9::text COLLATE \"C\") > 0"),
        ];
        conditions.into_iter().flatten()
    }

    /// The statement's sources: each gives its rows in order, down an index. No index has what runs (a claim would then
    /// change it): it stands first among what is due, and each lane is looked through for its part of `most` rows.
    fn arms(&self, lanes: &[Lane], most: u64) -> String {
        let (row, table, moment, code, look) = match self.part {
            Part::Pending => ("c", "call", "due_at", "priority", PENDING_LOOK),
            Part::Past => ("f", "finished", "finished_at", "state", PAST_LOOK),
        };
        let (way, look) = (self.way(), if self.rest().is_empty() { "" } else { look });
        let mut bounds = String::new();
        for (is_asked, bound) in [
            (
                self.after.is_some() && self.part == Part::Pending,
                "(:moment, :row.id) > ({at $2::bigint}, $3::uuid)",
            ),
            (
                self.after.is_some() && self.part == Part::Past,
                "(:moment, :row.id) < ({at $2::bigint}, $3::uuid)",
            ),
            (self.filter.since.is_some(), ":moment >= {at $4::bigint}"),
            (self.filter.until.is_some(), ":moment < {at $5::bigint}"),
            (way == Way::Running, ":moment <= {now} + interval '1 minute'"),
        ] {
            if is_asked {
                bounds.extend([" AND ", bound]);
            }
        }
        // Without an order of its own an arm would be sorted whole.
        bounds += " ORDER BY :moment :order, :row.id :order";
        if way == Way::Running {
            bounds.extend([" LIMIT ".to_owned(), each_lane(most, lanes.len()).to_string()]);
        }
        let arm = |which: &str| {
            format!("(SELECT :row.id, :moment AS moment{look} FROM futurecall.{table} AS :row WHERE {which}{bounds})")
                .replace(":moment", &format!(":row.{moment}"))
                .replace(":row", row)
        };
        match way {
            Way::Schedule => arm(":row.schedule_id = $7::uuid"),
            Way::Identifier => arm(":row.identifier = $6::text"),
            Way::Lanes | Way::Running => (1..=lanes.len())
                .map(|n| {
                    arm(&format!(":row.name = ($10::text[])[{n}] AND :row.{code} = ($11::smallint[])[{n}]"))
                })
                .collect::<Vec<_>>()
                .join(" UNION ALL "),
        }
    }

    /// A template's statement with the arms of these lanes, of whose rows it looks at `looked` at most.
    fn template(&self, template: &str, lanes: &[Lane], looked: u64) -> String {
        let (columns, table, row) = match self.part {
            Part::Pending => (PENDING, "futurecall.call AS c", "c"),
            Part::Past => (FINISHED, "futurecall.finished AS f", "f"),
        };
        let rest = self.rest();
        let rest = if rest.is_empty() { "true" } else { &rest };
        // Of what runs each arm has its own limit.
        let limit = if self.way() == Way::Running { i64::MAX } else { capped(looked) };
        template
            .replace(":arms", &self.arms(lanes, looked))
            .replace(":columns", columns)
            .replace(":table", table)
            .replace(":row.", &format!("{row}."))
            .replace(":order", self.part.order())
            .replace(":looked", &limit.to_string())
            .replace(":rest", rest)
    }

    fn bound(&self, query: Query, lanes: &[Lane], wanted: i64) -> Query {
        let filter = self.filter;
        let micros = |moment: Option<Moment>| moment.map(Moment::as_micros);
        query
            .bind(at(self.now))
            .bind(self.after.map(|key| key.0))
            .bind(self.after.map(|key| key.1))
            .bind(micros(filter.since))
            .bind(micros(filter.until))
            .bind(filter.identifier.clone())
            .bind(filter.schedule.map(|schedule| schedule.as_uuid()))
            .bind(filter.pod.map(|pod| pod.as_uuid()))
            .bind(filter.error.as_ref().map(|text| text.to_ascii_lowercase()))
            .bind(lanes.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())
            .bind(lanes.iter().map(|(_, code)| *code).collect::<Vec<_>>())
            .bind(wanted)
            .bind(filter.name.clone())
            .bind(past_states(filter).collect::<Vec<_>>())
    }

    fn is_stopped_early(&self) -> bool {
        !self.rest().is_empty() && self.way() != Way::Running
    }
}

/// How many due calls of each lane are looked through for those that run: of `most` its part, but no fewer than a lane may
/// well have.
pub(super) fn each_lane(most: u64, lanes: usize) -> u64 {
    let lanes = u64::try_from(lanes).unwrap_or(u64::MAX).max(1);
    (most / lanes).max(1_000).min(u64::from(u32::MAX))
}

/// The lanes that are merged; one that stands for all where they are come by otherwise.
async fn lanes(look: &mut Look<'_>, asked: &Asked<'_>) -> Result<Vec<Lane>> {
    if !matches!(asked.way(), Way::Lanes | Way::Running) {
        return Ok(vec![Lane::default()]);
    }
    let filter = asked.filter;
    let query = match asked.part {
        Part::Pending => look.query(LANES).bind(filter.name.clone()),
        Part::Past => {
            look.query(PAST_LANES).bind(filter.name.clone()).bind(past_states(filter).collect::<Vec<_>>())
        }
    };
    look.rows(query).await?.iter().map(records::lane).collect()
}

/// The first so many of one table that the filter lets through.
async fn find(look: &mut Look<'_>, asked: &Asked<'_>, wanted: usize) -> Result<Found> {
    let looked = if asked.rest().is_empty() { wanted as u64 } else { LOOKED_AT };
    let mut found = Found::default();
    for lanes in lanes(look, asked).await?.chunks(LANES_AT_ONCE) {
        let query = look.shown(&asked.template(PAGE, lanes, looked)).await?;
        let rows = look.rows(asked.bound(query, lanes, as_limit(wanted))).await?;
        let calls =
            rows.iter().map(|row| Ok((key(row)?, records::call(row)?))).collect::<Result<Vec<_>>>()?;
        let mut stopped = None;
        if asked.is_stopped_early() && calls.len() < wanted {
            let query = look.query(&asked.template(STOPPED, lanes, looked));
            let row = look.row(asked.bound(query, lanes, 0)).await?;
            stopped = row.as_ref().map(key).transpose()?;
        }
        found = found.and(Found { calls, stopped }, asked.part, wanted);
    }
    Ok(found)
}

/// How many of one table the filter lets through, of as many as are looked at.
async fn how_many(look: &mut Look<'_>, asked: &Asked<'_>, cap: u64) -> Result<u64> {
    let looked = LOOKED_AT;
    let is_sorted = asked.is_stopped_early();
    let sorted = if is_sorted { " ORDER BY a.moment :order, a.id :order LIMIT :looked" } else { "" };
    let template = COUNT.replace(":sorted", sorted);
    let mut calls = 0_u64;
    for lanes in lanes(look, asked).await?.chunks(LANES_AT_ONCE) {
        let query = look.query(&asked.template(&template, lanes, looked));
        let row = look.one(asked.bound(query, lanes, capped(cap))).await?;
        calls = calls.saturating_add(row.get("calls")?);
        if calls >= cap {
            break;
        }
    }
    Ok(calls)
}

/// How many of one table the filter lets through, whatever has to be looked at.
async fn how_many_of_all(look: &mut Look<'_>, asked: &Asked<'_>, cap: u64) -> Result<u64> {
    let all = match asked.part {
        Part::Pending => ALL_PENDING,
        Part::Past => ALL_PAST,
    };
    let every: String = asked.conditions(None).flat_map(|condition| [" AND ", condition]).collect();
    let query = look.query(&COUNT_ALL.replace(":all", all).replace(":every", &every));
    look.one(asked.bound(query, &[], capped(cap))).await?.get("calls")
}

fn key(row: &Row) -> Result<Key> {
    Ok((row.get("moment")?, row.get("id")?))
}
