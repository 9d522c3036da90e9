use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

pin_project! {
    /// Waits for the delay, if there is one, then for the call, or comes to its failure.
    #[derive(Debug)]
    pub struct ResponseFuture<Call, Response> {
        #[pin]
        delay: Option<Sleep>,
        #[pin]
        call: Option<Call>,
        failure: Option<Response>,
    }
}

impl<Call, Response> ResponseFuture<Call, Response> {
    pub(super) fn undisturbed(call: Call) -> Self {
        Self {
            delay: None,
            call: Some(call),
            failure: None,
        }
    }

    pub(super) fn delayed(delay: Duration, call: Call) -> Self {
        Self {
            delay: pause(delay),
            call: Some(call),
            failure: None,
        }
    }

    pub(super) fn failed(delay: Duration, failure: Response) -> Self {
        Self {
            delay: pause(delay),
            call: None,
            failure: Some(failure),
        }
    }
}

fn pause(delay: Duration) -> Option<Sleep> {
    (!delay.is_zero()).then(|| sleep(delay))
}

impl<Call, Response, Error> Future for ResponseFuture<Call, Response>
where
    Call: Future<Output = Result<Response, Error>>,
{
    type Output = Call::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(delay) = this.delay.as_mut().as_pin_mut() {
            ready!(delay.poll(cx));
            this.delay.set(None);
        }
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Ok(failure));
        }
        match this.call.as_pin_mut() {
            Some(call) => call.poll(cx),
            None => panic!("polled after it was ready"),
        }
    }
}
