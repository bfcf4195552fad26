//! Decides what calls and schedules mean: which run starts, waits or is skipped, what follows a run, what happens to
//! a call whose pod vanished, what a declaration or an operator's change does.
//!
//! Pure: no statements, no clock, nothing asynchronous. A store loads rows, calls the policy, and writes the changes
//! that it returns, so that all stores decide alike.

pub(crate) mod reasons;
mod schedule;
#[cfg(test)]
mod tests;
mod timetable;
mod vanished;

pub(crate) use schedule::{Changes, Declaration, Phase, Run, Schedule, ScheduleRow};
pub(crate) use timetable::{Timetable, Turn, can_be_read, waits_for_running};
pub(crate) use vanished::{Ending, Vanished, ending_of};
