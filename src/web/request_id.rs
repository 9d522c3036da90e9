//! Every request has an id, in the log and in the answer (`x-request-id`), and is part of a trace
//! (`traceparent`): its client's, or its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::telemetry::{self, Context, Id, TRACEPARENT, TRACESTATE, Trace, Within};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a client, in bytes.
const MAX_LENGTH: usize = 128;

/// The longest `tracestate` that is passed on: as much as everybody must be able to.
const MAX_STATE: usize = 512;

/// Puts [`Identified`] around a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdentifiedLayer;

/// Serves each request in its [`Context`], and repeats its id in the answer.
#[derive(Clone, Debug)]
pub(super) struct Identified<S> {
    inner: S,
}

impl<S> Layer<S> for IdentifiedLayer {
    type Service = Identified<S>;

    fn layer(&self, inner: S) -> Identified<S> {
        Identified { inner }
    }
}

impl<S, B> Service<Request<Body>> for Identified<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let headers = request.headers();
        let context = Arc::new(Context::new(id(headers), trace(headers)));
        let answering = telemetry::enter(Some(Arc::clone(&context)), || self.inner.call(request));
        Answering {
            answering: telemetry::within(Some(Arc::clone(&context)), answering),
            context,
        }
    }
}

pin_project! {
    /// An answer that will repeat the id of its request.
    pub(super) struct Answering<F> {
        #[pin]
        answering: Within<F>,
        context: Arc<Context>,
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = ready!(this.answering.poll(cx));
        if let (Ok(answer), Some(id)) = (&mut answer, header(this.context.id())) {
            answer.headers_mut().insert(X_REQUEST_ID, id);
        }
        Poll::Ready(answer)
    }
}

/// The client's id, unless it is no plain word: it ends up in logs and in answers.
fn id(headers: &HeaderMap) -> Option<Box<str>> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=:".contains(byte);
    headers
        .get(X_REQUEST_ID)
        .filter(|id| (1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(plain))
        .and_then(|id| id.to_str().ok())
        .map(Into::into)
}

fn header(id: &Id) -> Option<HeaderValue> {
    match id {
        Id::Own(id) => {
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).ok()
        }
        Id::Client(id) => HeaderValue::from_str(id).ok(),
    }
}

/// The trace that the client is in, if it names just one.
fn trace(headers: &HeaderMap) -> Option<Trace> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let trace = Trace::parse(parent.to_str().ok()?)?;
    let states = headers.get_all(TRACESTATE).iter();
    let states: Option<Vec<_>> = states.map(|state| state.to_str().ok()).collect();
    match states.map(|states| states.join(",")) {
        Some(state) if (1..=MAX_STATE).contains(&state.len()) => Some(trace.with_state(&state)),
        _ => Some(trace),
    }
}
