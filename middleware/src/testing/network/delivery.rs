use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tower::util::Oneshot;
use tower::{Service, ServiceExt};

use super::Fate;

/// Hands `request` over as often as `fate` wants, and returns the last answer.
pub(super) async fn deliver<S, Request>(
    inner: S,
    request: Request,
    fate: Fate,
) -> Option<Result<S::Response, S::Error>>
where
    S: Service<Request> + Clone,
    Request: Clone,
{
    match fate {
        Fate::Refused | Fate::Lost | Fate::Late => None,
        Fate::Fine | Fate::Unanswered => Some(inner.oneshot(request).await),
        Fate::Doubled => {
            let _ = inner.clone().oneshot(request.clone()).await;
            Some(inner.oneshot(request).await)
        }
    }
}

/// Sends `request` when the returned end has been dropped for `late_by`.
pub(super) fn deliver_late<S, Request>(
    request: Oneshot<S, Request>,
    late_by: Duration,
) -> oneshot::Sender<()>
where
    S: Service<Request> + Send + 'static,
    S::Future: Send + 'static,
    Request: Send + 'static,
{
    let (waiting, gone) = oneshot::channel();
    tokio::spawn(async move {
        // It comes to an error, which is the point: nothing is ever sent.
        let _ = gone.await;
        pause(late_by).await;
        let _ = request.await;
    });
    waiting
}

/// Waits; for nothing at all if the delay is none, which tokio may round up to a millisecond.
pub(super) async fn pause(delay: Duration) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
}
