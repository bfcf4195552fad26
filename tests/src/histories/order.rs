//! Searches for an order of the events of one call that the model of one call allows.

use std::collections::HashSet;

use futurecall_runtime::Moment;
use futurecall_runtime::store::{CallState, Finished, Lease, Outcome};

use super::{Event, Holder, What};

/// Returns whether there is an order. At most 64 events, sorted by when they began.
pub(super) fn is_possible(events: &[Event]) -> bool {
    assert!(events.len() <= 64, "a call has {} events: too many to search", events.len());
    let mut seen = HashSet::new();
    let mut open = vec![(0_u64, Call::Scheduled)];
    let all = u64::MAX.checked_shr(u32::try_from(64 - events.len()).unwrap_or(64)).unwrap_or(0);
    while let Some((done, call)) = open.pop() {
        if done == all {
            return true;
        }
        let left = || events.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        let first_end = left().map(|(_, event)| event.to).min().unwrap_or(u64::MAX);
        for (at, event) in left().filter(|(_, event)| event.from <= first_end) {
            if let Some(next) = call.after(&event.what) {
                let next = (done | (1 << at), next);
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
    }
    false
}

/// The state of one call, as simple as possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Scheduled,
    Held { by: Holder, until: Moment, told_to_stop: bool },
    Over { by: Option<Holder>, state: CallState },
}

impl Call {
    /// Returns the call's state after the event; `None`: that result was impossible.
    fn after(self, what: &What) -> Option<Self> {
        match what {
            What::StoredAgain => Some(self),
            What::Claimed { holder, until } => (self == Self::Scheduled).then_some(Self::Held {
                by: *holder,
                until: *until,
                told_to_stop: false,
            }),
            What::Renewed { holder, now, lease, answer, cancelled } => {
                let until = now.checked_add(*lease).expect("within the range");
                self.after_renewal(*holder, *now, until, *answer, *cancelled)
            }
            What::Finished { holder, outcome, answer } => self.after_finish(*holder, outcome, *answer),
            What::Released { holder, count } => match self {
                Self::Held { by, told_to_stop, .. } if by == *holder => (*count == 1).then_some({
                    if told_to_stop {
                        Self::Over { by: None, state: CallState::Cancelled }
                    } else {
                        Self::Scheduled
                    }
                }),
                other => (*count == 0).then_some(other),
            },
            What::Cancelled { now, calls, running } => self.after_cancel(*now, (*calls, *running)),
            What::Rescued { now, pod } => match self {
                Self::Held { by, until, told_to_stop } if by.pod == *pod && until < *now => {
                    let state = if told_to_stop { CallState::Cancelled } else { CallState::Interrupted };
                    Some(Self::Over { by: Some(by), state })
                }
                _ => None,
            },
            What::Read { state } => (*state == Some(self.state())).then_some(self),
        }
    }

    fn after_renewal(
        self,
        holder: Holder,
        now: Moment,
        renewed: Moment,
        answer: Lease,
        cancelled: bool,
    ) -> Option<Self> {
        match (self, answer) {
            (Self::Held { by, told_to_stop, .. }, Lease::Held) => (by == holder && told_to_stop == cancelled)
                .then_some(Self::Held { by, until: renewed, told_to_stop }),
            // Somebody else had the row locked just then.
            (Self::Held { by, until, told_to_stop }, Lease::Kept) => {
                (by == holder && until > now && told_to_stop == cancelled).then_some(self)
            }
            (Self::Held { by, until, .. }, Lease::Lost) => (by != holder || until <= now).then_some(self),
            (Self::Scheduled | Self::Over { .. }, answer) => (answer == Lease::Lost).then_some(self),
        }
    }

    fn after_finish(self, holder: Holder, outcome: &Outcome, answer: Finished) -> Option<Self> {
        let plain = match outcome {
            Outcome::Succeeded => CallState::Succeeded,
            Outcome::Failed { .. } => CallState::Failed,
            _ => CallState::Interrupted,
        };
        match self {
            Self::Held { by, told_to_stop, .. } if by == holder => {
                let stopped = told_to_stop && plain != CallState::Succeeded;
                let (state, expected) = if stopped {
                    (CallState::Cancelled, Finished::Cancelled)
                } else {
                    (plain, Finished::Recorded)
                };
                (answer == expected).then_some(Self::Over { by: Some(by), state })
            }
            // A repetition returns the result of the first try, if it was the same outcome.
            Self::Over { by: Some(by), state } if by == holder => {
                let expected = match state {
                    CallState::Cancelled if plain != CallState::Succeeded => Finished::Cancelled,
                    state if state == plain => Finished::Recorded,
                    _ => Finished::Lost,
                };
                (answer == expected).then_some(self)
            }
            other => (answer == Finished::Lost).then_some(other),
        }
    }

    fn after_cancel(self, now: Moment, answer: (u64, u64)) -> Option<Self> {
        match self {
            Self::Scheduled => {
                (answer == (1, 0)).then_some(Self::Over { by: None, state: CallState::Cancelled })
            }
            Self::Held { by, until, .. } => (answer == (0, u64::from(until >= now))).then_some(Self::Held {
                by,
                until,
                told_to_stop: true,
            }),
            Self::Over { .. } => (answer == (0, 0)).then_some(self),
        }
    }

    fn state(self) -> CallState {
        match self {
            Self::Scheduled => CallState::Scheduled,
            Self::Held { .. } => CallState::Running,
            Self::Over { state, .. } => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use futurecall_runtime::PodId;

    use super::*;
    use crate::make::at;

    fn one_after_the_other(what: Vec<What>) -> Vec<Event> {
        let numbered = what.into_iter().zip(0_u64..);
        numbered.map(|(what, number)| Event { from: number * 2, to: number * 2 + 1, what }).collect()
    }

    fn holder(claim_no: i64) -> Holder {
        Holder { pod: PodId::from_uuid(uuid::Uuid::nil()), claim_no }
    }

    fn claimed(claim_no: i64) -> What {
        What::Claimed { holder: holder(claim_no), until: at(10) }
    }

    fn finished(claim_no: i64, accepted: bool) -> What {
        let answer = if accepted { Finished::Recorded } else { Finished::Lost };
        What::Finished { holder: holder(claim_no), outcome: Outcome::Succeeded, answer }
    }

    fn failed(answer: Finished) -> What {
        What::Finished { holder: holder(1), outcome: Outcome::Failed { error: String::new() }, answer }
    }

    #[test]
    fn what_a_store_may_do_has_an_order() {
        let released = What::Released { holder: holder(1), count: 1 };
        let events = one_after_the_other(vec![
            claimed(1),
            released,
            claimed(2),
            finished(1, false),
            finished(2, true),
            finished(2, true),
            What::Read { state: Some(CallState::Succeeded) },
        ]);
        assert!(is_possible(&events));
    }

    #[test]
    fn what_overlaps_may_stand_in_either_order() {
        let cancelled = What::Cancelled { now: at(0), calls: 1, running: 0 };
        let read = What::Read { state: Some(CallState::Scheduled) };
        let mut events = one_after_the_other(vec![cancelled, read]);
        assert!(!is_possible(&events), "the cancellation had been answered");
        events[0].to = 10;
        assert!(is_possible(&events));
    }

    #[test]
    fn what_no_store_may_do_has_none() {
        let cancelled = |calls, running| What::Cancelled { now: at(0), calls, running };
        let rescued = What::Rescued { now: at(5), pod: holder(1).pod };
        let wrong = [
            vec![claimed(1), claimed(2)],
            vec![claimed(1), finished(2, true)],
            vec![claimed(1), finished(1, true), claimed(2)],
            vec![cancelled(1, 0), claimed(1)],
            vec![claimed(1), cancelled(1, 0)],
            vec![claimed(1), rescued],
            vec![claimed(1), finished(1, true), What::StoredAgain, What::Read { state: None }],
            vec![claimed(1), cancelled(0, 1), failed(Finished::Recorded)],
            vec![claimed(1), cancelled(0, 1), failed(Finished::Cancelled), failed(Finished::Recorded)],
            vec![claimed(1), failed(Finished::Cancelled)],
            vec![claimed(1), cancelled(0, 1), What::Released { holder: holder(1), count: 1 }, claimed(2)],
        ];
        for what in wrong {
            assert!(!is_possible(&one_after_the_other(what.clone())), "{what:?}");
        }
    }
}
