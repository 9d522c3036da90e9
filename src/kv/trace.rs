use reqwest::header::HeaderValue;
use reqwest_middleware::{RequestBuilder, RequestInitialiser};
use uuid::Uuid;

use crate::telemetry::{self, TRACEPARENT, TRACESTATE, Trace};

/// Tells the store the trace of the request on whose behalf it is asked (Trace Context, W3C); a new
/// one, where it is asked on behalf of none, or of several.
pub(super) struct PassTrace;

impl RequestInitialiser for PassTrace {
    fn init(&self, request: RequestBuilder) -> RequestBuilder {
        match telemetry::current() {
            Some(context) => pass(context.trace(), request),
            None => pass(&Trace::of(Uuid::now_v7()), request),
        }
    }
}

fn pass(trace: &Trace, mut request: RequestBuilder) -> RequestBuilder {
    let value = |text: &str| HeaderValue::from_str(text).ok();
    if let Some(parent) = value(&trace.parent_of_next()) {
        request = request.header(TRACEPARENT, parent);
    }
    if let Some(state) = trace.state().and_then(value) {
        request = request.header(TRACESTATE, state);
    }
    request
}
