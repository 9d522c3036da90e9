use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};

use crate::kv::{Stamp, wire};

/// What the client need not be told again if it has it: JSON as of a stamp of the store.
///
/// The tag is a weak one, since the same may also be sent compressed.
#[derive(Clone, Debug)]
pub(super) struct Tagged {
    tag: Option<HeaderValue>,
    body: Option<Bytes>,
}

/// Which states of the ledger the client of a request has.
#[derive(Debug)]
pub(super) struct Known<'a>(&'a HeaderMap);

impl Known<'_> {
    pub(super) fn of(headers: &HeaderMap) -> Known<'_> {
        Known(headers)
    }

    /// Whether it has that of `stamp`.
    pub(super) fn has(&self, stamp: Option<Stamp>) -> bool {
        let tags = self.0.get_all(IF_NONE_MATCH).iter();
        let mut tags = tags
            .filter_map(|tags| tags.to_str().ok())
            .flat_map(|tags| tags.split(','));
        stamp.is_some() && tags.any(|tag| tag.trim() == "*" || wire::stamp_of(tag) == stamp)
    }
}

impl Tagged {
    /// `body`, as of `stamp`.
    pub(super) fn new(stamp: Option<Stamp>, body: Bytes) -> Self {
        Self {
            tag: stamp.and_then(tag),
            body: Some(body),
        }
    }

    /// That nothing has changed since.
    pub(super) fn unchanged(self) -> Self {
        Self { body: None, ..self }
    }
}

fn tag(stamp: Stamp) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("W/{}", wire::etag(stamp))).ok()
}

impl IntoResponse for Tagged {
    fn into_response(self) -> Response<Body> {
        // To be kept, but asked for each time.
        let caching = [(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
        let tag = AppendHeaders(self.tag.map(|tag| (ETAG, tag)));
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        match self.body {
            Some(body) => (caching, tag, [(CONTENT_TYPE, JSON)], body).into_response(),
            None => (StatusCode::NOT_MODIFIED, caching, tag).into_response(),
        }
    }
}
