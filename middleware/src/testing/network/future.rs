use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for the answer, or for the error in its place.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<Response, Error> {
    // Boxed: the fates are so many sequences of waits, and the speed of a bad network is no concern.
    way: Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>,
}

impl<Response, Error> ResponseFuture<Response, Error> {
    pub(super) fn new(way: impl Future<Output = Result<Response, Error>> + Send + 'static) -> Self {
        Self { way: Box::pin(way) }
    }
}

impl<Response, Error> Future for ResponseFuture<Response, Error> {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.way.as_mut().poll(cx)
    }
}

impl<Response, Error> fmt::Debug for ResponseFuture<Response, Error> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
