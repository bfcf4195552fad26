//! The options that select calls.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use futurecall_runtime::inspect::CallFilter;
use futurecall_runtime::{CallId, CallState, Moment, PodId, ScheduleId};

use crate::exit::Failure;
use crate::time_arguments::{When, when};

/// Conditions that all selected calls meet.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Filter")]
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
    /// Calls that this pod is running or ran last
    #[arg(long, value_name = "ID")]
    pod: Option<PodId>,
    /// Calls at or after this time: pending ones by due time, finished ones by the time they finished
    #[arg(long, value_parser = when, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<When>,
    /// Calls before this time
    #[arg(long, value_parser = when, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<When>,
    /// Calls whose error contains this text
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    error: Option<String>,
}

/// The calls of an action, by ids or by a filter.
#[derive(Clone, Debug, Args)]
pub(crate) struct Selected {
    /// Ids of calls (use --identifier to select by identifier)
    #[arg(value_name = "ID", value_parser = call_id)]
    pub(crate) ids: Vec<CallId>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// All calls, if no other filter is given
    #[arg(long, conflicts_with = "ids", help_heading = "Filter")]
    all: bool,
}

impl FilterArgs {
    /// Returns the filter as the library takes it.
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

impl Selected {
    /// Checks that there are either ids or a filter.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if !self.ids.is_empty() && !self.filter.is_empty() {
            return Err(Failure::usage("give either ids or filters, not both"));
        }
        if self.ids.is_empty() && self.filter.is_empty() && !self.all {
            return Err(Failure::usage(
                "no calls selected: give ids, a filter such as --name or --identifier, or --all",
            ));
        }
        Ok(())
    }
}

/// Parses an id. An identifier is refused with a hint.
fn call_id(text: &str) -> Result<CallId, String> {
    text.parse()
        .map_err(|_| format!("not a call id (a UUID); to select by identifier, use --identifier {text:?}"))
}

fn state(text: &str) -> Result<CallState, String> {
    CallState::from_word(text)
        .ok_or_else(|| format!("must be one of {}", CallState::ALL.map(CallState::as_str).join(", ")))
}
