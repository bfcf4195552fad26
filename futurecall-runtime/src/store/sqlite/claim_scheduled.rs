//! Runs of schedules that a claim has taken: each runs, is skipped, or is given back to wait, and the next ones are stored.

use std::collections::BTreeSet;

use uuid::Uuid;
use uuid::fmt::Simple;

use super::finish::claims;
use super::history::{End, end};
use super::release::give_back;
use super::timetable::{Wanted, load, write};
use super::tx::{Tx, hex};
use crate::id::{CallId, ScheduleId};
use crate::moment::Moment;
use crate::store::policy::Turn;
use crate::store::{CallState, ClaimRequest, Held, Result};

/// A call that its schedule produced.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClaimedRun {
    pub(super) id: CallId,
    pub(super) schedule: ScheduleId,
    pub(super) due: Moment,
}

/// What became of the runs of a claim.
pub(super) struct Settled {
    /// How many were skipped.
    pub(super) skipped: u64,
    /// How many the claim no longer holds: skipped, or given back.
    pub(super) not_held: usize,
    /// The runs that follow, as they are stored.
    pub(super) stored: Vec<Simple>,
    /// Those that were given back because this release cannot tell what their schedules say.
    pub(super) unreadable: Vec<Simple>,
}

/// Decides about runs that have just been claimed, and writes what follows.
pub(super) async fn settle(
    tx: &mut Tx<'_>,
    doing: &'static str,
    mut runs: Vec<ClaimedRun>,
    request: &ClaimRequest,
    kept: i64,
) -> Result<Settled> {
    runs.sort_by_key(|run| (run.due, run.id));
    let schedules: BTreeSet<Uuid> = runs.iter().map(|run| run.schedule.as_uuid()).collect();
    let schedules: Vec<Uuid> = schedules.into_iter().collect();
    let claimed: Vec<CallId> = runs.iter().map(|run| run.id).collect();
    let mut timetable = load(tx, doing, Wanted::Ids(&schedules), &claimed).await?;
    let (mut skipped, mut waiting, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for run in &runs {
        let turn = timetable.turn(run.schedule, run.id);
        match turn {
            Turn::Run | Turn::Taken | Turn::Gone => {}
            Turn::Wait | Turn::Unreadable => {
                waiting.push(Held { id: run.id, claim_no: request.claim_no, started: false });
            }
            Turn::Skip(why) => skipped.push(End::unstarted(run.id, CallState::Skipped, why.into())),
        }
        if turn == Turn::Unreadable {
            unreadable.push(hex(run.id.as_uuid()));
        }
    }
    if !waiting.is_empty() {
        give_back(tx, request.pod.as_uuid(), claims(doing, &waiting)?).await?;
    }
    let not_held = waiting.len() + skipped.len();
    let skipped = end(tx, doing, &skipped, kept).await?;
    let changes = timetable.into_changes();
    let stored = changes.stored.iter().map(|run| hex(run.id.as_uuid())).collect();
    write(tx, doing, changes, kept).await?;
    Ok(Settled { skipped, not_held, stored, unreadable })
}
