//! What a request gets that cannot be answered.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use futurecall_runtime::{OperateError, StoreError};
use maud::html;
use serde_json::json;

use crate::layout;
use crate::serve::allow;
use crate::text::safe;
use crate::visit::{Base, Theme};

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

    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_) | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::TooLong(status, _) => *status,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Store(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Operate(error) => match **error {
                OperateError::UnknownSchedule(_) => StatusCode::NOT_FOUND,
                _ if error.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
        }
    }

    fn words(&self) -> (&'static str, String) {
        match self {
            Self::Refused(why) => ("The dashboard is closed", why.clone()),
            Self::Forbidden(why) => ("Not allowed", why.clone()),
            Self::Missing(what) => ("Not found", what.clone()),
            Self::Bad(what) => ("That cannot be read", what.clone()),
            Self::TooLong(_, what) => ("That is too much", (*what).to_owned()),
            Self::Method(methods) => ("Not this way", format!("This page takes {methods}.")),
            Self::Store(error) => ("The database did not answer", format!("{error}. Try again in a moment.")),
            Self::Operate(error) => ("That was not done, or not all of it", error.to_string()),
            Self::Busy => ("Too many listen", "Close some of the open pages.".to_owned()),
        }
    }

    pub(crate) fn response(&self, title: &str, base: &Base, json: bool, theme: Theme) -> Response {
        let status = self.status();
        let (heading, text) = self.words();
        let response = if json {
            (status, Json(json!({ "error": text }))).into_response()
        } else {
            let back = !matches!(self, Self::Refused(_));
            let body = html! {
                section.notice.bad data-test="failure" {
                    h1 { (heading) }
                    p { (safe(&text)) }
                    @if back { p { a href=(base.to("overview")) { "Back to the overview" } } }
                }
            };
            (status, Html(layout::bare(title, heading, base, theme, &body).into_string())).into_response()
        };
        match self {
            Self::Method(methods) => allow(response, methods),
            _ => response,
        }
    }
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
