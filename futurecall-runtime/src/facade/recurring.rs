use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{check_identifier, identifier_text};
use crate::args::in_key_order;
use crate::call_target::{CallTarget, EncodedCall, sealed};
use crate::error::ScheduleError;
use crate::id::ScheduleId;
use crate::moment::{Moment, ToMoment};
use crate::pod::Pod;
use crate::recurring::{Missed, Overlap, Recurrence, Rule, RuleError, ToTimeZone};
use crate::store::{NewSchedule, ScheduleOrigin};

/// What is said of a recurring call before or after its rule.
#[derive(Debug, Default)]
struct Options {
    identifier: Option<String>,
    priority: Option<i16>,
    starting_at: Option<Result<Moment, ScheduleError>>,
    time_zone: Option<String>,
    missed: Missed,
    overlap: Overlap,
}

macro_rules! options {
    () => {
        /// The identity of the schedule (with the call's name), and the label of its calls. Without one, the schedule
        /// is known by the call and its arguments, in whatever order their keys are written: a parameter that is added,
        /// removed or renamed makes another schedule, and so does a `HashSet`, which is written in another order each time.
        pub fn identifier(mut self, identifier: impl fmt::Display) -> Self {
            self.options.identifier = Some(identifier_text(&identifier));
            self
        }

        /// The priority of every run.
        pub fn priority(mut self, priority: i16) -> Self {
            self.options.priority = Some(priority);
            self
        }

        /// The first run, after which an interval goes on at this moment + n · interval without drift. For cron: no run
        /// before it.
        pub fn starting_at(mut self, time: impl ToMoment) -> Self {
            self.options.starting_at = Some(time.to_moment().map_err(ScheduleError::from));
            self
        }

        /// The time zone of a cron expression, by IANA name or as a `chrono_tz::Tz`; UTC unless told. An interval has
        /// none, and giving one is an error.
        pub fn time_zone(mut self, zone: impl ToTimeZone) -> Self {
            self.options.time_zone = Some(zone.time_zone_name().into_owned());
            self
        }

        /// What happens to runs whose moment passed while no pod was up: [`Missed::RunOnce`] unless told.
        pub fn missed(mut self, missed: Missed) -> Self {
            self.options.missed = missed;
            self
        }

        /// What happens when a run is still going as the next is due: [`Overlap::Skip`] unless told.
        pub fn overlap(mut self, overlap: Overlap) -> Self {
            self.options.overlap = overlap;
            self
        }
    };
}

/// A recurring call without its rule yet: [`every`](Self::every) or [`cron`](Self::cron) comes next.
#[derive(Debug)]
#[must_use = "nothing recurs until a rule is given, a call is named, and it is awaited"]
pub struct Recurring {
    pod: Pod,
    options: Options,
}

impl Recurring {
    pub(crate) fn new(pod: Pod) -> Self {
        Self { pod, options: Options::default() }
    }

    options!();

    /// Every so often: first one interval from now (or at `starting_at`).
    pub fn every(self, interval: Duration) -> RecurringCallRef {
        self.with(Rhythm::Every(interval))
    }

    /// By a cron expression: 5 fields, or 6 with seconds first.
    pub fn cron(self, expression: impl Into<String>) -> RecurringCallRef {
        self.with(Rhythm::Cron(expression.into()))
    }

    fn with(self, rhythm: Rhythm) -> RecurringCallRef {
        RecurringCallRef { pod: self.pod, options: self.options, rhythm }
    }
}

#[derive(Debug)]
enum Rhythm {
    Every(Duration),
    Cron(String),
}

/// A recurring call whose rule is set and whose method is not: `.example()` comes next.
#[derive(Debug)]
#[must_use = "nothing recurs until a call is named and awaited"]
pub struct RecurringCallRef {
    pod: Pod,
    options: Options,
    rhythm: Rhythm,
}

impl RecurringCallRef {
    options!();
}

impl sealed::Sealed for RecurringCallRef {}

impl CallTarget for RecurringCallRef {
    type Pending = PendingSchedule;

    fn __call(self, call: EncodedCall) -> PendingSchedule {
        let Self { pod, options, rhythm } = self;
        PendingSchedule { pod, schedule: schedule(options, rhythm, call) }
    }
}

fn schedule(options: Options, rhythm: Rhythm, call: EncodedCall) -> Result<NewSchedule, ScheduleError> {
    let args = call.args?;
    if let Some(identifier) = &options.identifier {
        check_identifier(identifier)?;
    }
    let mut rule = match rhythm {
        Rhythm::Every(_) if options.time_zone.is_some() => return Err(RuleError::ZoneWithoutCron.into()),
        Rhythm::Every(interval) => Rule::every(interval)?,
        Rhythm::Cron(expression) => Rule::cron(&expression, options.time_zone.as_deref().unwrap_or("UTC"))?,
    };
    let start = options.starting_at.transpose()?;
    match &mut rule.recurrence {
        Recurrence::Every { starting_at, .. } | Recurrence::Cron { starting_at, .. } => *starting_at = start,
    }
    rule.missed = options.missed;
    rule.overlap = options.overlap;
    rule.validate()?;
    Ok(NewSchedule {
        id: ScheduleId::new(),
        key: key(call.name, options.identifier.as_deref(), &args),
        former_keys: Vec::new(),
        name: call.name.to_owned(),
        identifier: options.identifier,
        args,
        format: crate::args::FORMAT,
        priority: options.priority.unwrap_or(call.priority),
        rule,
        origin: ScheduleOrigin::Code,
    })
}

/// A schedule's identity: the call and the identifier, or without one the call and (a hash of) its arguments, which may be
/// longer than an index entry can be. The order of their keys is no part of it. Names hold no control characters, so a line
/// break cannot be part of one.
pub(crate) fn key(name: &str, identifier: Option<&str>, args: &str) -> String {
    if let Some(identifier) = identifier {
        return format!("{name}\nidentifier\n{identifier}");
    }
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, in_key_order(args).as_bytes());
    format!("{name}\narguments\n{hash}")
}

/// The keys of the same declaration under the call's older names, as far as this pod knows them.
fn former_keys(pod: &Pod, schedule: &NewSchedule) -> Vec<String> {
    let aliases = pod.registry().get(&schedule.name).map_or(&[][..], |handler| handler.aliases);
    aliases.iter().map(|alias| key(alias, schedule.identifier.as_deref(), &schedule.args)).collect()
}

/// A recurring call that is not yet declared. Awaiting it gives the [`ScheduleId`].
///
/// Declaring the same call and identifier again, as every start does, never makes a second schedule: it changes
/// nothing unless the code's own rule, arguments or priority changed. A declaration revives a cancelled schedule.
///
/// # Errors
///
/// [`ScheduleError`]: a rule that cannot be kept before anything is written, or what the database said.
#[derive(Debug)]
#[must_use = "nothing recurs until this is awaited"]
pub struct PendingSchedule {
    pod: Pod,
    schedule: Result<NewSchedule, ScheduleError>,
}

impl IntoFuture for PendingSchedule {
    type Output = Result<ScheduleId, ScheduleError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut schedule = self.schedule?;
            schedule.former_keys = former_keys(&self.pod, &schedule);
            let declared = self.pod.declare(vec![schedule]).await?;
            declared.first().map(|declared| declared.id).ok_or(ScheduleError::Stopped)
        })
    }
}
