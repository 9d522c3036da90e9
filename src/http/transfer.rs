use std::error::Error as _;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use http_body_util::LengthLimitError;
use uuid::Uuid;

use super::error::Error;
use super::{App, MAX_BODY, body, status};

/// `POST /api/transfer`: 200 with an empty body when the transfer is in the ledger. `Location` is
/// where one sees what became of it.
pub(super) async fn transfer(
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1]), Error> {
    let transfer = body::parse(&read(body).await?)?;
    let id = Uuid::now_v7();
    app.ledger.transfer(id, transfer).await?;
    Ok((StatusCode::OK, [(LOCATION, status::path(id))]))
}

/// Reads a body that is not too long. Where its length is told, a longer one is not even read.
async fn read(body: Body) -> Result<Bytes, Error> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(Error::BodyTooLarge);
    }
    let read = to_bytes(body, MAX_BODY).await;
    read.map_err(|error| {
        let cause = error.source();
        if cause.is_some_and(|cause| cause.is::<LengthLimitError>()) {
            return Error::BodyTooLarge;
        }
        tracing::debug!(error = cause, "a body could not be read");
        Error::BodyCutOff
    })
}
