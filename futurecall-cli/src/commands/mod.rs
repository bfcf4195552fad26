//! The commands, one file each. They return data, which `output` formats.

pub(crate) mod act;
pub(crate) mod actions;
pub(crate) mod completions;
#[cfg(feature = "dashboard")]
pub(crate) mod dashboard;
pub(crate) mod doctor;
pub(crate) mod list;
pub(crate) mod migrate;
pub(crate) mod names;
pub(crate) mod pods;
pub(crate) mod prune;
pub(crate) mod recurring;
pub(crate) mod rule;
pub(crate) mod schedule;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod watch;
pub(crate) mod why;
