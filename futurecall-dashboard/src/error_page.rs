//! Failures of a request, with their status and text.

use axum::http::StatusCode;
use futurecall_runtime::StoreError;
use futurecall_runtime::operate::OperateError;
use uuid::Uuid;

use crate::access::Access;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user may not see the dashboard at all, with the reason.
    Refused(String),
    /// The user lacks the right for this action.
    Forbidden(String),
    /// The page or the record does not exist.
    Missing(String),
    /// A field has an invalid value.
    Bad(String),
    /// The request exceeds a limit.
    TooLong(StatusCode, &'static str),
    /// The page only accepts these methods.
    Method(&'static str),
    /// The database query failed.
    Store(StoreError),
    /// The same, without the database's error: it is in the log, under this reference number.
    Withheld(String),
    /// An action failed or was done in part.
    Operate(Box<OperateError>),
    /// Too many pages have live updates.
    Busy,
}

impl Failure {
    /// Returns the failure for a missing right; `what` completes "not allowed to".
    pub(crate) fn no_right(what: &str) -> Self {
        Self::Forbidden(format!("You are not allowed to {what}."))
    }

    /// Returns the failure as this user may see it: errors of the database are for users who can change something.
    pub(crate) fn for_user(self, access: &Access) -> Self {
        match self {
            Self::Store(error) if !access.changes_anything() => Self::Withheld(withhold(&error)),
            failure => failure,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_) | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::TooLong(status, _) => *status,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Store(_) | Self::Withheld(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Operate(error) => match **error {
                OperateError::UnknownSchedule(_) => StatusCode::NOT_FOUND,
                _ if error.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
        }
    }

    /// Returns the heading and the text of the error page.
    pub(crate) fn heading_and_text(&self) -> (&'static str, String) {
        match self {
            Self::Refused(why) => ("Access denied", why.clone()),
            Self::Forbidden(why) => ("Not allowed", why.clone()),
            Self::Missing(what) => ("Not found", what.clone()),
            Self::Bad(what) => ("Invalid request", what.clone()),
            Self::TooLong(_, what) => ("Request refused", (*what).to_owned()),
            Self::Method(methods) => ("Method not allowed", format!("This page accepts {methods}.")),
            Self::Store(error) => ("Database unavailable", format!("{error}. Try again in a moment.")),
            Self::Withheld(reference) => ("Database unavailable", withheld(reference)),
            Self::Operate(error) => ("Action failed or incomplete", error.to_string()),
            Self::Busy => {
                ("Too many open pages", "Too many pages receive live updates. Close some of them.".to_owned())
            }
        }
    }
}

/// Logs a database error under a reference number, and returns the number.
fn withhold(error: &StoreError) -> String {
    let mut reference = Uuid::new_v4().simple().to_string();
    reference.truncate(8);
    tracing::warn!(reference, %error, "the database query of a dashboard page failed");
    reference
}

fn withheld(reference: &str) -> String {
    format!(
        "The database is unavailable. Try again in a moment. If the problem persists, report the reference number \
         {reference} to the operators of this service; its log has the details."
    )
}

/// Returns the text of a database error that is shown as part of a page.
pub(crate) fn text_for(access: &Access, error: &StoreError) -> String {
    if access.changes_anything() { error.to_string() } else { withheld(&withhold(error)) }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OperateError> for Failure {
    fn from(error: OperateError) -> Self {
        Self::Operate(Box::new(error))
    }
}
