//! Concurrent histories: several clients on one store at once, and a search for an order of each call's events in which
//! a plain model of one call has the same results.
//!
//! Calls are independent of each other, so each is checked separately, by the search of Wing and Gong (1993): an event
//! that had ended before another began comes before it.
//!
//! `FUTURECALL_TEST_HISTORIES` sets how many histories (default 5), `FUTURECALL_TEST_SEED` changes their seed.

mod clients;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futurecall_runtime::store::{CallState, Finished, Lease, Outcome};
use futurecall_runtime::{CallId, Moment, PodId};

use self::clients::clients;
use self::order::is_possible;
use crate::suite::Harness;

/// Creates and checks histories. Returns which kinds of results there were.
///
/// # Panics
///
/// When a call's events have no possible order: with the events and the seed.
pub async fn histories(harness: &dyn Harness) -> BTreeSet<&'static str> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let elsewhere = number("FUTURECALL_TEST_SEED").unwrap_or(0).wrapping_mul(100_000);
    let mut kinds = BTreeSet::new();
    for history in 0..number("FUTURECALL_TEST_HISTORIES").unwrap_or(5) {
        let seed = elsewhere.wrapping_add(history);
        let fixture = harness.fresh().await;
        fixture.store.migrate().await.expect("a fresh database takes the migrations");
        for (call, mut events) in clients(&fixture, seed).await {
            events.sort_by_key(|event| event.from);
            kinds.extend(events.iter().map(|event| event.what.kind()));
            assert!(
                is_possible(&events),
                "no order of these events of call {call} is possible ({}, seed {seed}):\n{}",
                harness.name(),
                events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>().join("\n")
            );
        }
        fixture.database.remove().await;
    }
    kinds
}

/// The events of each call.
type Histories = BTreeMap<CallId, Vec<Event>>;

/// One client's operation on one call, and its time: increasing numbers, taken before and after.
#[derive(Clone, Debug)]
struct Event {
    from: u64,
    to: u64,
    what: What,
}

/// An operation and its result.
#[derive(Clone, Debug)]
enum What {
    /// Stored once more, as after a lost reply.
    StoredAgain,
    Claimed {
        holder: Holder,
        until: Moment,
    },
    Renewed {
        holder: Holder,
        now: Moment,
        lease: Duration,
        answer: Lease,
        cancelled: bool,
    },
    Finished {
        holder: Holder,
        outcome: Outcome,
        answer: Finished,
    },
    Released {
        holder: Holder,
        count: u64,
    },
    Cancelled {
        now: Moment,
        calls: u64,
        running: u64,
    },
    Rescued {
        now: Moment,
        pod: PodId,
    },
    Read {
        state: Option<CallState>,
    },
}

impl What {
    fn kind(&self) -> &'static str {
        match self {
            Self::StoredAgain => "stored again",
            Self::Claimed { .. } => "claimed",
            Self::Renewed { answer: Lease::Lost, .. } => "lease lost",
            Self::Renewed { .. } => "lease renewed",
            Self::Finished { answer: Finished::Lost, .. } => "outcome refused",
            Self::Finished { .. } => "outcome accepted",
            Self::Released { count: 0, .. } => "nothing released",
            Self::Released { .. } => "released",
            Self::Cancelled { calls: 1.., .. } => "cancelled",
            Self::Cancelled { running: 1.., .. } => "told to stop",
            Self::Cancelled { .. } => "nothing cancelled",
            Self::Rescued { .. } => "rescued",
            Self::Read { .. } => "read",
        }
    }
}

/// The owner of a claim, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holder {
    pod: PodId,
    claim_no: i64,
}
