use std::mem;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use tokio::task;
use tower::BoxError;

use super::error::Error;
use super::stamped::Stamped;
use crate::kv::wire::{self, ListQuery};
use crate::kv::{Entries, Kv, Listed, Range, Stamp};
use crate::telemetry::{self, Chain};

/// `GET /api/list`: all entries, or those of a range, as of one moment; 304 if nothing was written
/// since the stamp that `If-None-Match` names.
pub(super) async fn list(
    State(kv): State<Kv>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let query: ListQuery<'_> = serde_urlencoded::from_str(query.as_deref().unwrap_or_default())
        .map_err(|_| {
            Error::Invalid(
                "The query may have prefix=TEXT, start=KEY and limit=NUMBER, each once.".into(),
            )
        })?;
    let range = Range {
        prefix: (*query.prefix).into(),
        start: (*query.start).into(),
        limit: query.limit,
    };
    let unless = headers
        .get(IF_NONE_MATCH)
        .and_then(|tag| tag.to_str().ok())
        .and_then(wire::stamp_of);
    match kv.list(range, unless).await? {
        Listed::Unchanged => {
            Ok(Stamped::new(unless, (StatusCode::NOT_MODIFIED, etag(unless))).into_response())
        }
        Listed::Entries(entries, stamp) => {
            let tag = etag(stamp);
            let answer = match entries.is_one_page() {
                true => (tag, Json(entries.all().await?)).into_response(),
                false => {
                    (tag, [(CONTENT_TYPE, "application/json")], streamed(entries)).into_response()
                }
            };
            Ok(Stamped::new(stamp, answer).into_response())
        }
    }
}

/// `entries` page by page, so that a list takes no more memory than a few of them, however long it is. One that
/// cannot be read to its end is cut off: its client sees that.
fn streamed(entries: Entries) -> Body {
    let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
    task::spawn(telemetry::carried(async move {
        if let Err(error) = send(entries, &mut sender).await {
            tracing::warn!(error = %Chain(&*error), "a list was cut off");
            sender.abort(error);
        }
    }));
    Body::new(body)
}

/// Sends `entries` as one array.
async fn send(mut entries: Entries, body: &mut Sender<Bytes, BoxError>) -> Result<(), BoxError> {
    let mut begins = true;
    while let Some(page) = entries.next_page().await {
        let mut json = serde_json::to_vec(&page?)?;
        json.pop();
        if !mem::take(&mut begins) {
            json[0] = b',';
        }
        if body.send_data(json.into()).await.is_err() {
            // Its client has gone.
            return Ok(());
        }
    }
    // The same.
    let _ = body.send_data("]".into()).await;
    Ok(())
}

fn etag(stamp: Option<Stamp>) -> AppendHeaders<Option<(axum::http::HeaderName, String)>> {
    AppendHeaders(stamp.map(|stamp| (ETAG, wire::etag(stamp))))
}
