//! What the answers of a `kvstore` say.

use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use tower::BoxError;

use crate::kv::{Conflict, Entry, KvError, Stamp, wire};

/// What a read was answered, as long as its status says that there is something.
///
/// # Errors
///
/// Whatever is wrong, nothing was changed.
pub(super) fn of_read(status: StatusCode) -> Result<(), KvError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::BAD_REQUEST => Err(KvError::Invalid("the store refused a read".into())),
        status => Err(KvError::Unavailable(
            format!("the store answered {status} to a read").into(),
        )),
    }
}

/// What the body of a read holds.
///
/// # Errors
///
/// It could not be received, or is something else.
pub(super) fn decoded<T: DeserializeOwned>(
    body: Result<impl AsRef<[u8]>, impl Into<BoxError>>,
) -> Result<T, KvError> {
    let body = body.map_err(|error| KvError::Unavailable(error.into()))?;
    serde_json::from_slice(body.as_ref()).map_err(|error| KvError::Unavailable(error.into()))
}

/// Why a write was answered `status`, which is neither 200 nor 428.
pub(super) fn no_write(status: StatusCode) -> KvError {
    let answered = format!("the store answered {status} to a write");
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => KvError::Invalid(answered),
        // Whoever says so has not looked at what the write says.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED => KvError::Unavailable(answered.into()),
        // It may come from a proxy that had passed the write on.
        _ => KvError::Unknown(answered.into()),
    }
}

/// What the body of a 428 says. That of a store without epochs says nothing.
pub(super) fn conflict(body: &[u8]) -> Conflict {
    #[derive(Default, serde::Deserialize)]
    struct Refusal {
        epoch: Option<u64>,
        #[serde(default)]
        moved: Vec<Entry>,
    }
    match serde_json::from_slice(body).unwrap_or_default() {
        Refusal {
            epoch: Some(current),
            ..
        } => Conflict::Epoch { current },
        Refusal { moved, .. } => Conflict::Version { moved },
    }
}

/// When an answer was true, as far as its headers tell.
pub(super) fn stamp(headers: &HeaderMap) -> Option<Stamp> {
    let number = |name| headers.get(name)?.to_str().ok()?.parse().ok();
    Some(Stamp {
        epoch: number(wire::EPOCH)?,
        revision: number(wire::REVISION)?,
    })
}
