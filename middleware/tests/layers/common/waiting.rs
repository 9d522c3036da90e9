//! Waiting for a future, but not for ever.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;
use tower_test::mock;

/// Milliseconds.
pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The next request that the mocked service gets, or `None` if nobody can send it any more.
pub(crate) async fn next<T, U>(
    handle: &mut mock::Handle<T, U>,
) -> Option<(T, mock::SendResponse<U>)> {
    ended(handle.next_request()).await
}

/// The output of `future`; a failure, and not a test that hangs, if it never ends.
pub(crate) async fn ended<F: Future>(future: F) -> F::Output {
    timeout(ms(60_000), future).await.expect("an end")
}

/// Polls once.
pub(crate) async fn polled<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
