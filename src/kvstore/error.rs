//! The only place of the server that turns errors into statuses, and that logs them.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::json;

use crate::kv::{Conflict, Entry, KvError, wire};
use crate::telemetry::Chain;
use crate::web::{Problem, Unread};

/// The most bytes of keys and values that a conflict tells; its client reads longer ones again.
const MAX_MOVED: usize = 64 * 1024;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Error {
    Invalid(Cow<'static, str>),
    Unread(Unread),
    Store(KvError),
}

impl From<Unread> for Error {
    fn from(unread: Unread) -> Self {
        Self::Unread(unread)
    }
}

impl From<KvError> for Error {
    fn from(error: KvError) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response<Body> {
        problem(self).into_response()
    }
}

/// Whether `moved`, all of it, can be told.
fn is_short(moved: &[Entry]) -> bool {
    let bytes = moved
        .iter()
        .map(|entry| entry.key.len() + entry.value.len());
    !moved.is_empty() && bytes.sum::<usize>() <= MAX_MOVED
}

fn problem(error: Error) -> Problem {
    const CONFLICT: StatusCode = StatusCode::PRECONDITION_REQUIRED;
    match error {
        Error::Invalid(detail) => Problem::new(StatusCode::BAD_REQUEST, detail),
        Error::Unread(unread) => unread.into(),
        Error::Store(KvError::Conflict(Conflict::Version { moved })) => {
            let problem =
                Problem::new(CONFLICT, "A key has another version by now; read it again.");
            match is_short(&moved) {
                true => problem.with(wire::MOVED, json!(moved)),
                false => problem,
            }
        }
        Error::Store(KvError::Conflict(Conflict::Epoch { current })) => Problem::new(
            CONFLICT,
            "The store was reset since; read again what you need.",
        )
        .with("epoch", current),
        Error::Store(KvError::Invalid(reason)) => Problem::new(
            StatusCode::BAD_REQUEST,
            format!("The write cannot be made: {reason}."),
        ),
        Error::Store(error @ KvError::Unavailable(_)) => {
            tracing::error!(error = %Chain(&error), "a request was not served");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot do this now; nothing was changed.",
            )
        }
        Error::Store(error @ KvError::Unknown(_)) => {
            tracing::error!(error = %Chain(&error), "the outcome of a write is not known");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "It is not known whether the write was made.",
            )
        }
    }
}
