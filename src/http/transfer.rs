use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use uuid::Uuid;

use super::error::Error;
use super::once::Once;
use super::{App, MAX_BODY, body, status};
use crate::telemetry::{self, Context, Id};
use crate::web::{OwnSite, read};

/// `POST /api/transfer`: 200 with an empty body when the transfer is in the ledger. `Location` is
/// where one sees what became of it. With an `Idempotency-Key` it is made once, however often it is posted.
pub(super) async fn transfer(
    State(app): State<Arc<App>>,
    _: OwnSite,
    Once(key): Once,
    body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1]), Error> {
    let transfer = body::parse(&read(body, MAX_BODY).await?)?;
    let id = new_id();
    let id = match key {
        Some(key) => app.ledger.transfer_once(key, id, transfer).await?,
        None => app.ledger.transfer(id, transfer).await.map(|()| id)?,
    };
    Ok((StatusCode::OK, [(LOCATION, status::path(id))]))
}

/// The id of the request, if it is one of ours: one name is enough for both. It is made just now then, so
/// that ids come in the order of transfers. Else a new one.
fn new_id() -> Uuid {
    match telemetry::current().as_deref().map(Context::id) {
        Some(Id::Own(id)) => *id,
        _ => Uuid::now_v7(),
    }
}
