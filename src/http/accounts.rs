use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use tokio::time::Instant;

use super::App;
use super::error::Error;
use super::rendered::Rendered;
use super::tagged::{Known, Tagged};
use crate::ledger::{fewest_payments, settle};
use crate::metrics::LedgerMetrics;
use crate::pipeline::Snapshot;

/// `GET /api/accounts`: everybody's balance, sorted by name; 304 where the client has it already.
pub(super) async fn accounts(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Tagged, Error> {
    answer(&app, &app.accounts, &headers).await
}

/// `GET /api/clear`: the payments that would bring every balance to zero; 304 likewise.
pub(super) async fn clear(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Tagged, Error> {
    answer(&app, &app.clear, &headers).await
}

async fn answer(app: &App, rendered: &Rendered, headers: &HeaderMap) -> Result<Tagged, Error> {
    let snapshot = app.ledger.snapshot().await?;
    // What is wrong with it is said each time.
    let newest = rendered.of(&snapshot).await?;
    Ok(match Known::of(headers).has(&newest) {
        true => newest.unchanged(),
        false => newest,
    })
}

pub(super) fn render_accounts(snapshot: &Snapshot) -> Result<Bytes, Error> {
    render(snapshot.accounts())
}

pub(super) fn render_clear(snapshot: &Snapshot, metrics: &LedgerMetrics) -> Result<Bytes, Error> {
    let begun = Instant::now();
    let accounts = snapshot.accounts();
    let payments = settle(accounts).map_err(Error::Unbalanced)?;
    metrics.settled(begun.elapsed(), payments.len() == fewest_payments(accounts));
    render(&payments)
}

fn render(value: &(impl Serialize + ?Sized)) -> Result<Bytes, Error> {
    let json = serde_json::to_vec(value)
        .map_err(|_| Error::Internal("accounts could not be written as JSON"))?;
    Ok(json.into())
}
