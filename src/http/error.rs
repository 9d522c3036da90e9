//! The only place that turns errors into statuses, and that logs them. Their own texts go to the
//! log, never to clients.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;

use super::body::InvalidTransfer;
use super::status;
use crate::kv::KvError;
use crate::ledger::{MAX_BALANCE, Unbalanced};
use crate::pipeline::TransferError;
use crate::telemetry::Chain;
use crate::web::{Problem, Unread};

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Error {
    Invalid(InvalidTransfer),
    Unread(Unread),
    Transfer(TransferError),
    NoSuchTransfer,
    Read(Arc<KvError>),
    Reset(KvError),
    Unbalanced(Unbalanced),
    Internal(&'static str),
}

impl From<InvalidTransfer> for Error {
    fn from(error: InvalidTransfer) -> Self {
        Self::Invalid(error)
    }
}

impl From<Unread> for Error {
    fn from(unread: Unread) -> Self {
        Self::Unread(unread)
    }
}

impl From<TransferError> for Error {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

impl From<Arc<KvError>> for Error {
    fn from(error: Arc<KvError>) -> Self {
        Self::Read(error)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response<Body> {
        problem(self).into_response()
    }
}

fn problem(error: Error) -> Problem {
    const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    match error {
        Error::Invalid(invalid) => {
            let problem = Problem::new(StatusCode::BAD_REQUEST, invalid.to_string());
            match invalid.field() {
                Some(field) => problem.with("field", field),
                None => problem,
            }
        }
        Error::Unread(unread) => unread.into(),
        Error::Transfer(error) => transfer(error),
        Error::NoSuchTransfer => Problem::new(
            StatusCode::NOT_FOUND,
            "There is no transfer with this id, or nothing of it has reached the ledger yet.",
        ),
        Error::Read(error) => {
            tracing::error!(error = %Chain(&error), "the ledger could not be read");
            Problem::new(
                UNAVAILABLE,
                "The ledger cannot be read at the moment; please try again.",
            )
        }
        Error::Reset(error @ KvError::Unknown(_)) => {
            tracing::error!(error = %Chain(&error), "it is not known whether the ledger was reset");
            Problem::new(
                UNAVAILABLE,
                "It is not known whether the ledger was reset; please look at the accounts.",
            )
        }
        Error::Reset(error) => {
            tracing::error!(error = %Chain(&error), "the ledger was not reset");
            Problem::new(UNAVAILABLE, "The ledger was not reset; please try again.")
        }
        Error::Unbalanced(error) => {
            tracing::error!(error = %Chain(&error), "the ledger is broken");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The balances do not sum to zero, so there is no way to clear them. The operator must repair the ledger.",
            )
        }
        Error::Internal(message) => {
            tracing::error!(mistake = message, "internal error");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The service made a mistake; it was logged.",
            )
        }
    }
}

fn transfer(error: TransferError) -> Problem {
    match error {
        TransferError::OutOfRange { person } => Problem::new(
            StatusCode::BAD_REQUEST,
            format!("The balance of \"{person}\" would leave the range from -{MAX_BALANCE} to {MAX_BALANCE}."),
        )
        .with("field", "amount"),
        TransferError::Unreadable { person } => {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("What the store holds for \"{person}\" is no balance. The operator must repair the ledger."),
            )
            .with("outcome", "not_applied")
        }
        TransferError::KeyTaken { id } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "This Idempotency-Key was used for another transfer; each needs one of its own.",
        )
        .with("transfer", status::path(id)),
        TransferError::Unclaimed { .. } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "It is not known whether a transfer was made under this Idempotency-Key before; please post it again under the same key: it counts once.",
        )
        .with("outcome", "unknown"),
        TransferError::NotApplied { id, .. } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The transfer was not made, since the ledger could not be written; please try again.",
        )
        .with("outcome", "not_applied")
        .with("id", id.to_string()),
        TransferError::Overloaded { id } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The transfer was not made, since too many are under way; please try again.",
        )
        .with("outcome", "not_applied")
        .with("id", id.to_string()),
        TransferError::Quarantined { id, reason } => {
            tracing::debug!(%id, %reason, "a transfer was refused");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "THE LEDGER IS IN QUARANTINE. Something is wrong with it, so no transfer is made until it is proven whole. This transfer was not made. The operator must look at the log, and run `splitdim repair`.",
            )
            .with("outcome", "quarantined")
            .with("reason", &*reason)
            .with("id", id.to_string())
        }
        TransferError::Unknown { id, .. } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "It is not known yet whether the transfer was made; please look at its status before you repeat it.",
        )
        .with("outcome", "unknown")
        .with("id", id.to_string())
        .with("transfer", status::path(id)),
    }
}
