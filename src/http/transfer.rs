use std::error::Error as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use uuid::Uuid;

use super::error::Error;
use super::{App, body, status};

/// `POST /api/transfer`: 200 with an empty body when the transfer is in the ledger. `Location` is
/// where one sees what became of it.
pub(super) async fn transfer(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, [(HeaderName, String); 1]), Error> {
    let body = body.map_err(|rejection| unread(&rejection))?;
    let transfer = body::parse(&body)?;
    let id = Uuid::now_v7();
    app.ledger.transfer(id, transfer).await?;
    Ok((StatusCode::OK, [(LOCATION, status::path(id))]))
}

fn unread(rejection: &BytesRejection) -> Error {
    tracing::debug!(error = rejection.source(), "a body could not be read");
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Error::BodyTooLarge
    } else {
        Error::BodyCutOff
    }
}
