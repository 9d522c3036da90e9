use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::metrics::RequestTable;

/// Puts [`Measured`] around a service.
#[derive(Clone, Debug)]
pub(super) struct MeasuredLayer {
    pub(super) table: Option<Arc<RequestTable>>,
}

/// Counts requests, and measures them, where somebody wants to know. A request whose client hangs up
/// before it is answered is not counted.
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
        let begun = self.table.as_ref().map(|table| Begun {
            place: table.place(request.uri().path(), request.method().as_str()),
            table: Arc::clone(table),
            at: Instant::now(),
        });
        Measuring {
            answering: self.inner.call(request),
            begun,
        }
    }
}

/// A request under way.
struct Begun {
    table: Arc<RequestTable>,
    place: usize,
    at: Instant,
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
        if let Some(Begun { table, place, at }) = this.begun.take() {
            table.answered(place, answer.status().as_u16(), at.elapsed());
        }
        Poll::Ready(Ok(answer))
    }
}
