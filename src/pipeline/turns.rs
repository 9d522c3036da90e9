use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::timeout_at;
use tower::{Layer, Service, ServiceExt};

use super::error::Cause;
use super::step::Step;

/// Puts [`Turns`] around what makes one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct TurnsLayer;

/// Lets those who change the same cell take turns, in the order in which they came: in one process
/// they would only conflict with each other. Stands above the timeout of an attempt, which is not to
/// measure the attempts of others.
#[derive(Clone, Debug)]
pub(super) struct Turns<S> {
    inner: S,
}

impl<S> Layer<S> for TurnsLayer {
    type Service = Turns<S>;

    fn layer(&self, inner: S) -> Turns<S> {
        Turns { inner }
    }
}

impl<S> Service<Step> for Turns<S>
where
    S: Service<Step, Error = Cause, Future: Send> + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Cause>> + Send>>;

    /// Readiness is asked when its turn has come.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, step: Step) -> Self::Future {
        let inner = self.inner.clone();
        Box::pin(async move {
            let held = step.parties.clone();
            let Some(place) = step.place_of(&held) else {
                return inner.oneshot(step).await;
            };
            // One attempt is made however late it is, unless others are before it.
            let turn = match place.turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => timeout_at(step.deadline(), place.turn.lock())
                    .await
                    .map_err(|_| Cause::Late)?,
            };
            let answer = inner.oneshot(step).await;
            drop(turn);
            answer
        })
    }
}
