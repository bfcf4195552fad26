//! The HTTP routes.

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futurecall_dashboard::dashboard;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::{App, AppError};

/// The service's routes.
///
/// | request | answer |
/// | --- | --- |
/// | `POST /signup` with `{"name": …, "email": …}` | 201 `{"id": …, "calls": [id, …]}` |
/// | `POST /unsubscribe/{id}` | 200 `{"cancelled": …, "running": …}` |
/// | `GET /accounts/{id}` | 200 the account, with its `pending` mails |
/// | `GET /health` | 200 how many calls are scheduled, due, running |
/// | `/futurecalls` and below | the dashboard, for programs on this machine only |
///
/// Errors are `{"error": …}`: 404 for an unknown account, 4xx for invalid requests, 503 for temporary failures.
pub fn router(app: App) -> Router {
    // Requests from this machine have all rights, as `local`; others are refused. A real service would use `.authorize(…)`
    // with its own sessions.
    let futurecalls = dashboard(&app.pod).title("Drip mails").loopback_only().into_router();
    Router::new()
        .route("/signup", post(sign_up))
        // A real service would send a link that only the receiver can know, instead of a number that can be guessed.
        .route("/unsubscribe/{id}", post(unsubscribe))
        .route("/accounts/{id}", get(account))
        .route("/health", get(health))
        .with_state(app)
        .nest("/futurecalls", futurecalls)
        // What is nested answers without the slash at the end; people type it all the same.
        .route("/futurecalls/", get(|| async { Redirect::permanent("/futurecalls") }))
}

#[derive(Debug, Deserialize)]
struct SignUp {
    name: String,
    email: String,
}

async fn sign_up(
    State(app): State<App>,
    body: Result<Json<SignUp>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let Json(SignUp { name, email }) = body?;
    let signed_up = app.sign_up(&name, &email).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": signed_up.id, "calls": signed_up.calls }))))
}

async fn unsubscribe(
    State(app): State<App>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<Value>, Failure> {
    let cancelled = app.unsubscribe(id?.0).await?;
    Ok(Json(json!({ "cancelled": cancelled.calls, "running": cancelled.running })))
}

async fn account(
    State(app): State<App>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<Value>, Failure> {
    let (account, pending) = app.account(id?.0).await?;
    let pending: Vec<Value> = pending
        .iter()
        .map(|call| json!({ "id": call.id, "call": call.name, "due": call.due.to_utc() }))
        .collect();
    Ok(Json(json!({
        "id": account.id,
        "name": account.name,
        "email": account.email,
        "unsubscribed": account.unsubscribed.is_some(),
        "pending": pending,
    })))
}

async fn health(State(app): State<App>) -> Result<Json<Value>, Failure> {
    let counts = app.pod.inspect().counts().await.map_err(AppError::from)?;
    Ok(Json(json!({ "scheduled": counts.scheduled, "due": counts.due, "running": counts.running })))
}

/// An error response.
struct Failure {
    status: StatusCode,
    error: String,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error }))).into_response()
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        let status = match &error {
            AppError::NoAccount(_) => StatusCode::NOT_FOUND,
            AppError::BadInput(_) => StatusCode::UNPROCESSABLE_ENTITY,
            // Also `Stopped`: this process is going down, and the next request reaches another one.
            AppError::Schedule(_) | AppError::Database(_) => {
                tracing::error!(%error, "a request failed");
                let error = "the database is not available, try again".to_owned();
                return Self { status: StatusCode::SERVICE_UNAVAILABLE, error };
            }
        };
        Self { status, error: error.to_string() }
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self { status: rejection.status(), error: rejection.body_text() }
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self { status: rejection.status(), error: rejection.body_text() }
    }
}
