//! Texts that the database's encoding cannot hold, spelled in ASCII: nothing that an error, a log or a person says may
//! keep anything else from being stored.

use std::borrow::Cow;

use crate::error::StoreError;
use crate::id::CallId;
use crate::store::{Finish, NewAction, NewLog, Outcome, PodBeat, Result, ScheduleChange};

/// What of it is nothing but words, which may be spelled otherwise.
pub(super) trait Spelled: Sized {
    /// The same with every character outside ASCII escaped, as `\u{1f600}`.
    fn in_ascii(&self) -> Self;
}

/// Whether to try again in ASCII. It costs nothing where the database can hold what it is given.
pub(super) fn is_refused<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(StoreError::is_encoding)
}

/// Escapes every character outside ASCII.
pub(super) fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len().saturating_mul(2));
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_unicode());
        }
    }
    Cow::Owned(escaped)
}

impl Spelled for String {
    fn in_ascii(&self) -> Self {
        ascii(self).into_owned()
    }
}

impl<T: Spelled> Spelled for Vec<T> {
    fn in_ascii(&self) -> Self {
        self.iter().map(Spelled::in_ascii).collect()
    }
}

impl Spelled for Finish {
    fn in_ascii(&self) -> Self {
        let mut finish = self.clone();
        match &mut finish.outcome {
            Outcome::Succeeded => {}
            Outcome::Failed { error }
            | Outcome::Interrupted { error }
            | Outcome::Retry { error, .. }
            | Outcome::Rerun { error }
            | Outcome::Expired { error } => *error = error.in_ascii(),
        }
        finish
    }
}

impl Spelled for NewLog {
    fn in_ascii(&self) -> Self {
        Self { text: self.text.in_ascii(), ..self.clone() }
    }
}

impl Spelled for NewAction {
    fn in_ascii(&self) -> Self {
        Self { actor: self.actor.in_ascii(), target: self.target.in_ascii(), ..self.clone() }
    }
}

impl Spelled for PodBeat {
    /// Names stay: one that cannot be held must not be taken for another.
    fn in_ascii(&self) -> Self {
        Self { label: self.label.in_ascii(), ..self.clone() }
    }
}

impl Spelled for ScheduleChange {
    fn in_ascii(&self) -> Self {
        match self {
            Self::Pause { reason } => Self::Pause { reason: reason.in_ascii() },
            Self::End { reason } => Self::End { reason: reason.in_ascii() },
            other => other.clone(),
        }
    }
}

impl Spelled for (CallId, String) {
    fn in_ascii(&self) -> Self {
        (self.0, self.1.in_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::ascii;

    #[test]
    fn what_is_not_ascii_is_escaped() {
        assert_eq!(ascii("no luck \u{1f600}, caf\u{e9}"), "no luck \\u{1f600}, caf\\u{e9}");
        assert_eq!(ascii("plain \\u"), "plain \\u");
    }
}
