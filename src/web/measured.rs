use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::{Method, Request, Response};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};
use tracing::Level;

use crate::metrics::RequestTable;

/// Puts [`Measured`] around a service.
#[derive(Clone, Debug)]
pub(super) struct MeasuredLayer {
    pub(super) table: Option<Arc<RequestTable>>,
}

/// Counts requests, and measures them, where somebody wants to know; writes a line for each, at debug.
/// A request whose client hangs up before it is answered is not counted. Errors are logged where they
/// are turned into answers.
#[derive(Clone, Debug)]
pub(super) struct Measured<S> {
    inner: S,
    table: Option<Arc<RequestTable>>,
}

impl<S> Layer<S> for MeasuredLayer {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        let table = self.table.clone();
        Measured { inner, table }
    }
}

impl<S, In, Out> Service<Request<In>> for Measured<S>
where
    S: Service<Request<In>, Response = Response<Out>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Measuring<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let path = request.uri().path();
        let counted = self.table.as_ref().map(|table| Counted {
            place: table.place(path, request.method().as_str()),
            table: Arc::clone(table),
        });
        let line = tracing::enabled!(Level::DEBUG).then(|| Line {
            method: request.method().clone(),
            path: path.to_owned(),
        });
        // Where nobody asks, not even the time is taken.
        let begun = (counted.is_some() || line.is_some()).then(|| Begun {
            at: Instant::now(),
            counted,
            line,
        });
        Measuring {
            answering: self.inner.call(request),
            begun,
        }
    }
}

/// A request under way.
struct Begun {
    at: Instant,
    counted: Option<Counted>,
    line: Option<Line>,
}

/// Where a request is counted.
struct Counted {
    table: Arc<RequestTable>,
    place: usize,
}

/// What a line says of a request.
struct Line {
    method: Method,
    path: String,
}

impl Begun {
    fn answered(self, status: u16) {
        let took = self.at.elapsed();
        if let Some(Counted { table, place }) = self.counted {
            table.answered(place, status, took);
        }
        if let Some(Line { method, path }) = self.line {
            let ms = took.as_millis();
            tracing::debug!(%method, path, status, ms, "a request was answered");
        }
    }
}

pin_project! {
    /// An answer that will be counted.
    pub(super) struct Measuring<F> {
        #[pin]
        answering: F,
        begun: Option<Begun>,
    }
}

impl<F, Out> Future for Measuring<F>
where
    F: Future<Output = Result<Response<Out>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Ok(answer) = ready!(this.answering.poll(cx));
        if let Some(begun) = this.begun.take() {
            begun.answered(answer.status().as_u16());
        }
        Poll::Ready(Ok(answer))
    }
}
