//! Calls that handlers schedule, due at once: if nothing else waits, their pod stores them as already claimed.

use std::collections::HashMap;

use uuid::Uuid;

use crate::acks::{Asked, Kind, Promise, Stored};
use crate::ledger::{Event, What};

/// Returns whether a run is followed by another call: one in three of those that take some time, but not long. (In the
/// sweep, where every call is counted, calls take no time.)
pub(crate) fn is_followed(call: Uuid, milliseconds: u64) -> bool {
    (1..=20).contains(&milliseconds) && call.as_u128().is_multiple_of(3)
}

/// The results that handlers got. Without a result, the outcome is unknown.
pub(crate) fn promises(events: &[Event]) -> HashMap<Uuid, Promise> {
    let mut promises = HashMap::new();
    for event in events {
        let (call, asked) = (
            event.run.call,
            Asked { sent: event.at, answered: i64::MAX, delay: 0, worker: Some(event.worker) },
        );
        if event.what == What::Asked {
            let kind = if event.run.attempt == number(Kind::Keep) { Kind::Keep } else { Kind::Rerun };
            let promise = Promise { kind, stored: Stored::Unknown, asked: Some(asked), cancelled: None };
            promises.insert(call, promise);
        } else if let (Some(promise), Some(stored)) = (promises.get_mut(&call), answer(event.what)) {
            promise.stored = stored;
            promise.asked = promise.asked.map(|asked| Asked { answered: event.at, ..asked });
        }
    }
    promises
}

fn answer(what: What) -> Option<Stored> {
    match what {
        What::Stored => Some(Stored::Yes),
        What::Refused => Some(Stored::No),
        _ => None,
    }
}

/// A kind as it is written in the ledger.
pub(crate) const fn number(kind: Kind) -> u32 {
    match kind {
        Kind::Keep => 0,
        Kind::Rerun | Kind::Tries => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_followed, promises};
    use crate::acks::{Kind, Stored};
    use crate::ledger::{Event, Run, What};
    use uuid::Uuid;

    #[test]
    fn what_was_not_answered_is_unknown() {
        let [kept, unheard, refused] = [(); 3].map(|()| Uuid::now_v7());
        let event = |what, call, attempt, at| {
            let run = Run { call, attempt, ..Run::default() };
            Event { what, run, at, real: at, worker: 1 }
        };
        let events = [
            event(What::Asked, kept, 0, 10),
            event(What::Asked, unheard, 1, 11),
            event(What::Stored, kept, 0, 12),
            event(What::Asked, refused, 1, 13),
            event(What::Start, kept, 1, 14),
            event(What::Refused, refused, 1, 15),
        ];
        let promises = promises(&events);
        let of = |call: Uuid| promises.get(&call).map(|promise| (promise.kind, promise.stored));
        assert_eq!(of(kept), Some((Kind::Keep, Stored::Yes)));
        assert_eq!(of(unheard), Some((Kind::Rerun, Stored::Unknown)));
        assert_eq!(of(refused), Some((Kind::Rerun, Stored::No)));
        let asked = promises.get(&kept).and_then(|promise| promise.asked).unwrap();
        assert_eq!((asked.sent, asked.answered, asked.delay), (10, 12, 0));
    }

    #[test]
    fn some_are_followed_and_in_the_sweep_none() {
        let followed = (0..30).filter(|id| is_followed(Uuid::from_u128(*id), 7)).count();
        assert_eq!(followed, 10);
        assert!(!(0..30).any(|id| is_followed(Uuid::from_u128(id), 0)));
    }
}
