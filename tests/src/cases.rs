//! The cases, by topic.

mod at_once;
mod cancel;
mod claim;
mod completion;
mod declined;
mod gaps;
mod hazards;
mod history;
mod inspect;
mod lease;
mod look;
mod migrate;
mod missed;
pub(crate) mod model;
mod operate;
mod recurring;
mod reschedule;
mod retry;
mod scenarios;
mod schedule;
mod signals;
mod together;
mod undeclared;

use crate::suite::{Case, Topic};

pub(crate) fn of(topic: Topic) -> &'static [Case] {
    match topic {
        Topic::Schedule => schedule::CASES,
        Topic::Claim => claim::CASES,
        Topic::AtOnce => at_once::CASES,
        Topic::Cancel => cancel::CASES,
        Topic::Completion => completion::CASES,
        Topic::Reschedule => reschedule::CASES,
        Topic::Recurring => recurring::CASES,
        Topic::Undeclared => undeclared::CASES,
        Topic::Declined => declined::CASES,
        Topic::Gaps => gaps::CASES,
        Topic::Missed => missed::CASES,
        Topic::Lease => lease::CASES,
        Topic::Retry => retry::CASES,
        Topic::History => history::CASES,
        Topic::Inspect => inspect::CASES,
        Topic::Look => look::CASES,
        Topic::Migrate => migrate::CASES,
        Topic::Hazards => hazards::CASES,
        Topic::Signals => signals::CASES,
        Topic::Scenarios => scenarios::CASES,
        Topic::Together => together::CASES,
        Topic::Operate => operate::CASES,
        Topic::Model => model::CASES,
    }
}
