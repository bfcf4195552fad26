//! What a request gets that cannot be answered.

use axum::http::StatusCode;
use futurecall_runtime::StoreError;
use futurecall_runtime::operate::OperateError;
use uuid::Uuid;

use crate::access::Access;

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The whole dashboard is closed to this visitor: why.
    Refused(String),
    /// The visitor may look, but not do that.
    Forbidden(String),
    /// There is no such page, or no such thing to show.
    Missing(String),
    /// A field says what it cannot.
    Bad(String),
    /// What was sent goes beyond a bound.
    TooLong(StatusCode, &'static str),
    /// The page takes these methods alone.
    Method(&'static str),
    /// The database could not be asked.
    Store(StoreError),
    /// The same, for a visitor who is not told why: the log says it, under this reference number.
    Withheld(String),
    /// An action failed, or was done in part.
    Operate(Box<OperateError>),
    /// Too many listen at once.
    Busy,
}

impl Failure {
    /// For this page, the visitor has not the right.
    pub(crate) fn no_right(what: &str) -> Self {
        Self::Forbidden(format!("You have no right to {what}."))
    }

    /// The failure as this visitor may read it: what the database says of itself is for those who can act.
    pub(crate) fn for_visitor(self, access: &Access) -> Self {
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

    /// A heading and a text.
    pub(crate) fn words(&self) -> (&'static str, String) {
        match self {
            Self::Refused(why) => ("The dashboard is closed", why.clone()),
            Self::Forbidden(why) => ("Not allowed", why.clone()),
            Self::Missing(what) => ("Not found", what.clone()),
            Self::Bad(what) => ("That cannot be read", what.clone()),
            Self::TooLong(_, what) => ("That is too much", (*what).to_owned()),
            Self::Method(methods) => ("Not this way", format!("This page takes {methods}.")),
            Self::Store(error) => ("The database did not answer", format!("{error}. Try again in a moment.")),
            Self::Withheld(reference) => ("The database did not answer", withheld(reference)),
            Self::Operate(error) => ("That was not done, or not all of it", error.to_string()),
            Self::Busy => ("Too many listen", "Close some of the open pages.".to_owned()),
        }
    }
}

/// Writes a database's error to the log, and returns the number under which it stands there.
fn withhold(error: &StoreError) -> String {
    let mut reference = Uuid::new_v4().simple().to_string();
    reference.truncate(8);
    tracing::warn!(reference, %error, "the database did not answer a page of the dashboard");
    reference
}

fn withheld(reference: &str) -> String {
    format!(
        "The database did not answer. Try again in a moment; if that does not help, give the reference number \
         {reference} to those who run this service: their log says more."
    )
}

/// What a visitor reads of a database's error in the midst of a page.
pub(crate) fn words_for(access: &Access, error: &StoreError) -> String {
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
