use std::fmt;

use super::{BoxError, MissingState};
use crate::args::ArgumentError;
use crate::bounded::{self, LONGEST_ERROR};

/// How a run failed.
#[derive(Debug)]
pub enum CallFailure {
    /// The stored arguments do not decode.
    Arguments(ArgumentError),
    /// State is missing (an alias of a pod that was started without it).
    State(MissingState),
    /// The handler said so.
    Error(BoxError),
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(source) => source.fmt(f),
            Self::State(source) => source.fmt(f),
            Self::Error(source) => bounded::chain(f, &**source, LONGEST_ERROR),
        }
    }
}

impl From<ArgumentError> for CallFailure {
    fn from(error: ArgumentError) -> Self {
        Self::Arguments(error)
    }
}
