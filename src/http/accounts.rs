use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde::Serialize;
use tokio::time::Instant;

use super::App;
use super::error::Error;
use crate::ledger::settle;
use crate::metrics::LedgerMetrics;
use crate::pipeline::Snapshot;

/// `GET /api/accounts`: everybody's balance, sorted by name.
pub(super) async fn accounts(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Error> {
    Ok(json(app.accounts.of(app.ledger.snapshot().await?).await?))
}

/// `GET /api/clear`: the payments that would bring every balance to zero.
pub(super) async fn clear(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Error> {
    Ok(json(app.clear.of(app.ledger.snapshot().await?).await?))
}

pub(super) fn render_accounts(snapshot: &Snapshot) -> Result<Bytes, Error> {
    render(snapshot.accounts())
}

pub(super) fn render_clear(snapshot: &Snapshot, metrics: &LedgerMetrics) -> Result<Bytes, Error> {
    let begun = Instant::now();
    let payments = settle(snapshot.accounts()).map_err(Error::Unbalanced)?;
    metrics.settled(begun.elapsed());
    render(&payments)
}

fn render(value: &(impl Serialize + ?Sized)) -> Result<Bytes, Error> {
    let json = serde_json::to_vec(value)
        .map_err(|_| Error::Internal("accounts could not be written as JSON"))?;
    Ok(json.into())
}

fn json(body: Bytes) -> ([(HeaderName, &'static str); 2], Bytes) {
    (
        [
            (CONTENT_TYPE, "application/json"),
            (CACHE_CONTROL, "no-store"),
        ],
        body,
    )
}
