use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tower::BoxError;

use super::Lost;
use super::queue::Answer;

/// Waits for the answer to one request of a batch.
pub struct ResponseFuture<Response> {
    state: State<Response>,
}

enum State<Response> {
    Waiting(oneshot::Receiver<Answer<Response>>),
    /// `None` once it was told.
    Refused(Option<BoxError>),
}

impl<Response> ResponseFuture<Response> {
    pub(super) fn waiting(answer: oneshot::Receiver<Answer<Response>>) -> Self {
        Self {
            state: State::Waiting(answer),
        }
    }

    pub(super) fn refused(error: BoxError) -> Self {
        Self {
            state: State::Refused(Some(error)),
        }
    }
}

impl<Response> Future for ResponseFuture<Response> {
    type Output = Result<Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Waiting(answer) => {
                let answer = ready!(Pin::new(answer).poll(cx));
                Poll::Ready(answer.unwrap_or_else(|_| Err(Lost::new().into())))
            }
            State::Refused(error) => {
                Poll::Ready(Err(error.take().unwrap_or_else(|| Lost::new().into())))
            }
        }
    }
}

impl<Response> fmt::Debug for ResponseFuture<Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
