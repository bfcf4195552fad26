//! Which calls: the filters of `list`, and the choice of calls that something is done to.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::{CallId, CallState, Moment, PodId, ScheduleId};

use crate::exit::Failure;
use crate::time_arguments::{When, when};

/// Which calls are meant; several options mean all of them at once.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which calls")]
pub(crate) struct FilterArgs {
    /// Calls of this stored name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Calls with this identifier
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    identifier: Option<String>,
    /// Calls in this state: scheduled, running, succeeded, failed, interrupted, cancelled, expired, skipped
    #[arg(long, value_parser = state, value_name = "STATE")]
    pub(crate) state: Option<CallState>,
    /// Calls of this schedule
    #[arg(long, value_name = "ID")]
    schedule: Option<ScheduleId>,
    /// Calls that this pod holds, or ran last
    #[arg(long, value_name = "ID")]
    pod: Option<PodId>,
    /// Calls whose moment is this one or later: pending ones by when they are due, finished ones by when they ended
    #[arg(long, value_parser = when, value_name = "MOMENT", allow_hyphen_values = true)]
    since: Option<When>,
    /// Calls whose moment is before this one
    #[arg(long, value_parser = when, value_name = "MOMENT", allow_hyphen_values = true)]
    until: Option<When>,
    /// Calls whose error holds this text
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    error: Option<String>,
}

/// Calls that something is done to: by their ids, or by what they have in common.
#[derive(Clone, Debug, Args)]
pub(crate) struct Choice {
    /// The calls, by their ids (calls with an identifier are chosen by --identifier)
    #[arg(value_name = "ID", value_parser = call_id)]
    pub(crate) ids: Vec<CallId>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// All calls, when nothing narrows the choice
    #[arg(long, conflicts_with = "ids", help_heading = "Which calls")]
    all: bool,
}

impl FilterArgs {
    /// As the library takes it.
    pub(crate) fn filter(&self, now: Moment) -> Result<CallFilter, Failure> {
        let mut filter = CallFilter::new();
        filter.name.clone_from(&self.name);
        filter.identifier.clone_from(&self.identifier);
        filter.state = self.state;
        filter.schedule = self.schedule;
        filter.pod = self.pod;
        filter.since = self.since.map(|since| since.moment(now)).transpose()?;
        filter.until = self.until.map(|until| until.moment(now)).transpose()?;
        filter.error.clone_from(&self.error);
        Ok(filter)
    }

    fn is_empty(&self) -> bool {
        let texts = [&self.name, &self.identifier, &self.error];
        texts.iter().all(|text| text.is_none())
            && self.state.is_none()
            && self.schedule.is_none()
            && self.pod.is_none()
            && self.since.is_none()
            && self.until.is_none()
    }
}

impl Choice {
    /// Refuses what is no choice, or two at once.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if !self.ids.is_empty() && !self.filter.is_empty() {
            return Err(Failure::usage(
                "name the calls by their ids, or by what they have in common, not by both",
            ));
        }
        if self.ids.is_empty() && self.filter.is_empty() && !self.all {
            return Err(Failure::usage("which calls? Give their ids, or --name, --identifier, …, or --all"));
        }
        Ok(())
    }
}

/// An id is never taken for an identifier, nor an identifier for an id.
fn call_id(text: &str) -> Result<CallId, String> {
    text.parse().map_err(|_| {
        format!(
            "not the id of a call (a UUID); for all calls with an identifier, write --identifier {text:?}"
        )
    })
}

fn state(text: &str) -> Result<CallState, String> {
    CallState::from_word(text)
        .ok_or_else(|| format!("there are {}", CallState::ALL.map(CallState::as_str).join(", ")))
}
