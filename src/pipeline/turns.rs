use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::timeout_at;
use tower::{Layer, Service, ServiceExt};

use super::error::Cause;
use super::places::Places;
use super::posting::Posting;
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

/// Puts [`BothTurns`] around what makes one attempt at a whole transfer.
#[derive(Clone, Debug)]
pub(super) struct BothTurnsLayer {
    places: Arc<Places>,
}

/// The same as [`Turns`] for a transfer that changes both cells at once. The turns are waited for in an
/// order that is the same for all.
#[derive(Clone, Debug)]
pub(super) struct BothTurns<S> {
    inner: S,
    places: Arc<Places>,
}

impl BothTurnsLayer {
    pub(super) fn new(places: Arc<Places>) -> Self {
        Self { places }
    }
}

impl<S> Layer<S> for BothTurnsLayer {
    type Service = BothTurns<S>;

    fn layer(&self, inner: S) -> BothTurns<S> {
        BothTurns {
            inner,
            places: Arc::clone(&self.places),
        }
    }
}

impl<S> Service<Posting> for BothTurns<S>
where
    S: Service<Posting, Error = Cause, Future: Send> + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Cause>> + Send>>;

    /// Readiness is asked when its turn has come.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, posting: Posting) -> Self::Future {
        let inner = self.inner.clone();
        let transfer = &posting.transfer;
        let mut held = [transfer.sender(), transfer.receiver()]
            .map(|person| self.places.hold(person.to_shared()));
        held.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Box::pin(async move {
            let both = async { (held[0].turn.lock().await, held[1].turn.lock().await) };
            let turns = timeout_at(posting.try_until, both)
                .await
                .map_err(|_| Cause::Late)?;
            let answer = inner.oneshot(posting).await;
            drop(turns);
            answer
        })
    }
}
