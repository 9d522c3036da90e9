use std::error::Error as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;

use super::error::Error;
use super::{App, body};

/// `POST /api/transfer`: 200 with an empty body when the transfer is in the ledger.
pub(super) async fn transfer(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Error> {
    let body = body.map_err(|rejection| unread(&rejection))?;
    let transfer = body::parse(&body)?;
    app.ledger.transfer(transfer).await?;
    Ok(StatusCode::OK)
}

fn unread(rejection: &BytesRejection) -> Error {
    tracing::debug!(error = rejection.source(), "a body could not be read");
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Error::BodyTooLarge
    } else {
        Error::BodyCutOff
    }
}
