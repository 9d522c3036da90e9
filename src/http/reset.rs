use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::response::IntoResponse;
use tokio::time::{Instant, timeout};

use super::error::Error;
use super::{ANSWER_WITHIN, App};
use crate::kv::KvError;
use crate::telemetry::{self, Chain};

/// `GET /api/reset`: 200 with an empty body when the ledger is empty. That it is a GET is owed to
/// old clients.
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response<Body>, Error> {
    if let Some(refusal) = app.resets.refusal(&method, &headers) {
        return Ok(refusal);
    }
    // Not to be cut in half by a client that hangs up, nor counted as failed when it only was slow.
    let ledger = app.ledger.clone();
    let reset = async move {
        let begun = Instant::now();
        let result = ledger.reset().await;
        if begun.elapsed() > ANSWER_WITHIN {
            let error = result.as_ref().err().map(|error| Chain(error).to_string());
            tracing::warn!(
                error,
                "a reset ended after its client was told that it is not known"
            );
        }
        result
    };
    // On a task of its own, it goes on to its end.
    match timeout(ANSWER_WITHIN, tokio::spawn(telemetry::carried(reset))).await {
        Ok(Ok(reset)) => reset.map_err(Error::Reset)?,
        Ok(Err(_)) => return Err(Error::Internal("a reset was lost")),
        Err(elapsed) => return Err(Error::Reset(KvError::Unknown(elapsed.into()))),
    };
    Ok(StatusCode::OK.into_response())
}
