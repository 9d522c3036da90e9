use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::error::Error;

/// The longest request body, in bytes.
const MAX_BODY: usize = 1 << 20;

/// A body of at most [`MAX_BODY`] bytes. Where its length is told, a longer one is not even read.
#[derive(Debug)]
pub(super) struct Body(pub(super) Bytes);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let body = request.into_body();
        if body.size_hint().lower() > MAX_BODY as u64 {
            return Err(Error::BodyTooLarge(MAX_BODY));
        }
        match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => Ok(Self(body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(Error::BodyTooLarge(MAX_BODY)),
            Err(_) => Err(Error::Invalid(
                "The body could not be read to its end: it was cut off, or its chunks are malformed.".into(),
            )),
        }
    }
}
