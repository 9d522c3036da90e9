use axum::body::Body;
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse;

use crate::kv::Stamp;
use crate::kv::wire;

/// An answer whose headers say when it was true. Old clients do not look at them.
#[derive(Debug)]
pub(super) struct Stamped<Answer> {
    stamp: Option<Stamp>,
    answer: Answer,
}

impl<Answer> Stamped<Answer> {
    pub(super) fn new(stamp: Option<Stamp>, answer: Answer) -> Self {
        Self { stamp, answer }
    }
}

impl<Answer: IntoResponse> IntoResponse for Stamped<Answer> {
    fn into_response(self) -> Response<Body> {
        let mut response = self.answer.into_response();
        if let Some(Stamp { epoch, revision }) = self.stamp {
            let headers = response.headers_mut();
            headers.insert(wire::EPOCH, HeaderValue::from(epoch));
            headers.insert(wire::REVISION, HeaderValue::from(revision));
        }
        response
    }
}
