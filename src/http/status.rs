use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::App;
use super::error::Error;
use crate::pipeline::Status;

/// A transfer, by its id.
#[derive(Debug, Serialize)]
pub(super) struct Transfer {
    id: Uuid,
    status: &'static str,
}

/// `GET /api/v1/transfers/{id}`: what became of a transfer.
pub(super) async fn status(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Transfer>, Error> {
    let id: Uuid = id.parse().map_err(|_| Error::NoSuchTransfer)?;
    let status = match app.ledger.status(id).await? {
        Some(Status::Open) => "open",
        Some(Status::Done) => "done",
        Some(Status::Undone) => "undone",
        None => return Err(Error::NoSuchTransfer),
    };
    Ok(Json(Transfer { id, status }))
}

/// Where the transfer `id` is.
pub(super) fn path(id: Uuid) -> String {
    let mut text = [0; Hyphenated::LENGTH];
    [
        "/api/v1/transfers/",
        id.hyphenated().encode_lower(&mut text),
    ]
    .concat()
}
