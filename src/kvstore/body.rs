use axum::body::Bytes;
use axum::extract::{FromRequest, Request};

use super::error::Error;
use crate::web;

/// The longest request body, in bytes.
const MAX_BODY: usize = 1 << 20;

/// A body of at most [`MAX_BODY`] bytes.
#[derive(Debug)]
pub(super) struct Body(pub(super) Bytes);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        Ok(Self(web::read(request.into_body(), MAX_BODY).await?))
    }
}
