use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time;
use tower::Service;
use tower::util::Oneshot;

use super::Elapsed;

pin_project! {
    /// Waits for readiness, then for the answer, and no longer than it may.
    #[derive(Debug)]
    pub struct ResponseFuture<S, Request>
    where
        S: Service<Request>,
    {
        after: Duration,
        // tokio's own: it polls the call before it looks at the clock, and still sees the clock
        // where the call has used up its task's turn. Let go of at the end, for whoever keeps the
        // future longer than that.
        #[pin]
        call: Option<time::Timeout<Oneshot<S, Request>>>,
    }
}

impl<S: Service<Request>, Request> ResponseFuture<S, Request> {
    /// The time begins now.
    pub(super) fn new(call: Oneshot<S, Request>, after: Duration) -> Self {
        Self {
            after,
            call: Some(time::timeout(after, call)),
        }
    }
}

impl<S, Request> Future for ResponseFuture<S, Request>
where
    S: Service<Request>,
    S::Error: From<Elapsed>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(call) = this.call.as_mut().as_pin_mut() else {
            panic!("polled after it was ready")
        };
        let ended = ready!(call.poll(cx));
        this.call.set(None);
        Poll::Ready(ended.unwrap_or_else(|_| Err(Elapsed::new(*this.after).into())))
    }
}
