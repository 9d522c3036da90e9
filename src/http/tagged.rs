use std::hash::Hasher;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};
use siphasher::sip::SipHasher13;

use crate::kv::Stamp;

/// What the client need not be told again if it has it: JSON as of a stamp of the store.
///
/// The tag is a weak one, since the same may also be sent compressed. It names the stamp and a hash of the
/// body: a store that was put back to an earlier state gives the same stamps to other ledgers.
#[derive(Clone, Debug)]
pub(super) struct Tagged {
    tag: Option<HeaderValue>,
    body: Option<Bytes>,
}

/// The tags of what the client of a request has.
#[derive(Debug)]
pub(super) struct Known<'a>(&'a HeaderMap);

impl Known<'_> {
    pub(super) fn of(headers: &HeaderMap) -> Known<'_> {
        Known(headers)
    }

    /// Whether it has `tagged`: a weak comparison (RFC 9110, 8.8.3.2).
    pub(super) fn has(&self, tagged: &Tagged) -> bool {
        let Some(own) = tagged.tag.as_ref().and_then(|tag| tag.to_str().ok()) else {
            return false;
        };
        let tags = self.0.get_all(IF_NONE_MATCH).iter();
        let mut tags = tags
            .filter_map(|tags| tags.to_str().ok())
            .flat_map(|tags| tags.split(','))
            .map(str::trim);
        tags.any(|tag| tag == "*" || opaque(tag) == opaque(own))
    }
}

impl Tagged {
    /// `body`, as of `stamp`.
    pub(super) fn new(stamp: Option<Stamp>, body: Bytes) -> Self {
        Self {
            tag: stamp.and_then(|stamp| tag(stamp, &body)),
            body: Some(body),
        }
    }

    /// That nothing has changed since.
    pub(super) fn unchanged(self) -> Self {
        Self { body: None, ..self }
    }
}

fn tag(Stamp { epoch, revision }: Stamp, body: &[u8]) -> Option<HeaderValue> {
    let mut hash = SipHasher13::new();
    hash.write(body);
    let hash = hash.finish();
    HeaderValue::try_from(format!("W/\"{epoch}-{revision}-{hash:x}\"")).ok()
}

/// A tag without the sign that it is weak.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
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
