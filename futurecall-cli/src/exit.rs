//! Exit codes and failures. The codes are documented in `--help` and in the README.

use std::fmt;
use std::io;
use std::process::ExitCode;

use futurecall_runtime::operate::OperateError;
use futurecall_runtime::{ScheduleError, StartError, StoreError};

use crate::sanitize::scrub;

/// The exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Done = 0,
    /// Failed, or nothing was done.
    Failed = 1,
    /// Invalid usage, or missing confirmation.
    Usage = 2,
    /// No such call or schedule.
    NotFound = 3,
    /// `doctor` found a problem, or `migrate status --check` a missing migration.
    Unhealthy = 4,
    /// Not confirmed.
    Refused = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    text: String,
    /// The reader has closed the pipe: no message is printed.
    silent: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl fmt::Display) -> Self {
        Self { exit, text: scrub(&text.to_string()), silent: false }
    }

    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub(crate) fn not_found(text: impl fmt::Display) -> Self {
        Self::new(Exit::NotFound, text)
    }

    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, text)
    }

    pub(crate) const fn is_silent(&self) -> bool {
        self.silent
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::failed(error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Setting { .. } | StartError::NoDatabase => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}

impl From<ScheduleError> for Failure {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::UnknownCall { .. } => Self::not_found(error),
            ScheduleError::Argument(_)
            | ScheduleError::MomentOutOfRange
            | ScheduleError::InvalidIdentifier { .. }
            | ScheduleError::InvalidName { .. }
            | ScheduleError::ZeroExpiry
            | ScheduleError::Rule(_) => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}

impl From<OperateError> for Failure {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::UnknownSchedule(_) => Self::not_found(error),
            OperateError::Schedule(error) => error.into(),
            OperateError::Partly { ref summary, ref source } if summary.done == 0 => Self::failed(source),
            _ => Self::failed(error),
        }
    }
}

impl From<io::Error> for Failure {
    /// A closed pipe is not an error, as in `futurecall list | head`.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Done, text: String::new(), silent: true };
        }
        Self::failed(format!("could not write the output: {error}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::failed(format!("could not write JSON: {error}"))
    }
}
