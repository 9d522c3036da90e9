//! Transfers that their client has named, by the header `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};

use crate::pipeline::ClientKey;
use crate::web::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The name that a client has given to its transfer, if it has.
#[derive(Debug)]
pub(super) struct Once(pub(super) Option<ClientKey>);

impl<S: Sync> FromRequestParts<S> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        key(&parts.headers).map(Self).ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "The header Idempotency-Key must come once, with 1 to 64 visible ASCII characters.",
            )
        })
    }
}

/// The key that is in `headers`, if there is one; `None` if it cannot be one.
fn key(headers: &HeaderMap) -> Option<Option<ClientKey>> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Some(None),
        (Some(key), None) => {
            let text = key.to_str().ok()?;
            // A string of RFC 9651 has quotes; most clients send none.
            let quoted = text
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            ClientKey::new(quoted.unwrap_or(text)).map(Some)
        }
        _ => None,
    }
}
