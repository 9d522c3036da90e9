use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use tokio::task;

use super::error::Error;
use super::stamped::Stamped;
use crate::kv::wire::{self, ListQuery};
use crate::kv::{Kv, Listed, Range, Stamp};

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
            // There may be very many.
            let json = task::spawn_blocking(move || serde_json::to_vec(&entries)).await;
            let body = json
                .ok()
                .and_then(Result::ok)
                .ok_or(Error::Internal("a list could not be written"))?;
            let content = ([(CONTENT_TYPE, "application/json")], etag(stamp), body);
            Ok(Stamped::new(stamp, content).into_response())
        }
    }
}

fn etag(stamp: Option<Stamp>) -> AppendHeaders<Option<(axum::http::HeaderName, String)>> {
    AppendHeaders(stamp.map(|stamp| (ETAG, wire::etag(stamp))))
}
