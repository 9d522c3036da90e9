use axum::http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::telemetry::{self, TRACEPARENT, TRACESTATE, Trace};

/// Tells the store, in the `headers` of a request, the trace of the request on whose behalf it is asked
/// (Trace Context, W3C); a new one, where it is asked on behalf of none, or of several.
pub(super) fn pass(headers: &mut HeaderMap) {
    match telemetry::current() {
        Some(context) => insert(context.trace(), headers),
        None => insert(&Trace::of(Uuid::now_v7()), headers),
    }
}

fn insert(trace: &Trace, headers: &mut HeaderMap) {
    if let Ok(parent) = HeaderValue::try_from(trace.parent_of_next()) {
        headers.insert(TRACEPARENT, parent);
    }
    if let Some(Ok(state)) = trace.state().map(HeaderValue::from_str) {
        headers.insert(TRACESTATE, state);
    }
}
