//! Every request has an id, in the log and in the answer (`x-request-id`).

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request};
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::trace::{DefaultOnFailure, DefaultOnRequest, TraceLayer};
use tracing::{Level, Span};
use uuid::Uuid;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a client, in bytes.
const MAX_LENGTH: usize = 128;

/// Forgets an id of the client's that is no plain word: it would end up in logs and in answers.
pub(super) fn distrust<B>(mut request: Request<B>) -> Request<B> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=:".contains(byte);
    let trusted =
        |id: &HeaderValue| (1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(plain);
    if !request.headers().get(X_REQUEST_ID).is_none_or(trusted) {
        request.headers_mut().remove(X_REQUEST_ID);
    }
    request
}

/// Takes over the client's id, or makes one.
pub(super) fn take_or_make() -> SetRequestIdLayer<NewId> {
    SetRequestIdLayer::new(X_REQUEST_ID, NewId)
}

/// Repeats the id in the answer.
pub(super) fn repeat() -> PropagateRequestIdLayer {
    PropagateRequestIdLayer::new(X_REQUEST_ID)
}

/// Makes UUIDs that sort by time.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewId;

impl MakeRequestId for NewId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(id).ok().map(RequestId::new)
    }
}

type MakeSpan = fn(&Request<Body>) -> Span;

/// Spans and lines of requests; at debug, so that they cost nothing otherwise. Errors are logged
/// where they are turned into answers.
pub(super) fn trace() -> TraceLayer<SharedClassifier<ServerErrorsAsFailures>, MakeSpan> {
    TraceLayer::new_for_http()
        .make_span_with(span as MakeSpan)
        .on_request(DefaultOnRequest::new().level(Level::TRACE))
        .on_failure(DefaultOnFailure::new().level(Level::DEBUG))
}

fn span(request: &Request<Body>) -> Span {
    let id = request
        .headers()
        .get(X_REQUEST_ID)
        .map(|id| id.to_str().unwrap_or_default());
    tracing::debug_span!("request", method = %request.method(), path = request.uri().path(), id)
}
