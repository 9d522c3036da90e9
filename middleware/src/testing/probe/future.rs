use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Handle;

pin_project! {
    /// The call, counted as long as it is under way.
    #[derive(Debug)]
    pub struct ResponseFuture<Call> {
        #[pin]
        call: Call,
        flight: Flight,
    }
}

impl<Call> ResponseFuture<Call> {
    /// A call that was counted as begun.
    pub(super) fn new(call: Call, flight: Flight) -> Self {
        Self { call, flight }
    }
}

impl<Call: Future> Future for ResponseFuture<Call> {
    type Output = Call::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.call.poll(cx));
        this.flight.end();
        Poll::Ready(output)
    }
}

/// Counts one call, from its beginning to its end or to its being dropped.
#[derive(Debug)]
pub(super) struct Flight {
    handle: Handle,
    ended: bool,
}

impl Flight {
    pub(super) fn new(handle: Handle) -> Self {
        handle.update(|seen| {
            seen.in_flight += 1;
            seen.most_in_flight = seen.most_in_flight.max(seen.in_flight);
        });
        let ended = false;
        Self { handle, ended }
    }

    fn end(&mut self) {
        self.ended = true;
        self.handle.update(|seen| seen.in_flight -= 1);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.ended {
            self.handle.update(|seen| {
                seen.in_flight -= 1;
                seen.dropped += 1;
            });
        }
    }
}
