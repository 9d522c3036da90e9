use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;
use tower::BoxError;

use super::Lost;

/// Waits for detached work. Dropping it leaves the work running.
#[derive(Debug)]
pub struct ResponseFuture<Response, Error> {
    task: JoinHandle<Result<Response, Error>>,
}

impl<Response, Error> ResponseFuture<Response, Error> {
    pub(super) fn new(task: JoinHandle<Result<Response, Error>>) -> Self {
        Self { task }
    }
}

impl<Response, Error: Into<BoxError>> Future for ResponseFuture<Response, Error> {
    type Output = Result<Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task)
            .poll(cx)
            .map(|joined| match joined {
                Ok(result) => result.map_err(Into::into),
                Err(lost) => Err(Lost::new(&lost).into()),
            })
    }
}
