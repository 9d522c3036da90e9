use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};
use tracing::Level;

use super::counted;
use super::error::{Cause, Failed};
use super::posting::Posting;
use crate::metrics::LedgerMetrics;
use crate::telemetry;

/// Puts [`Logged`] around what makes transfers.
#[derive(Clone, Debug)]
pub(super) struct LoggedLayer {
    metrics: Arc<LedgerMetrics>,
}

impl LoggedLayer {
    pub(super) fn new(metrics: Arc<LedgerMetrics>) -> Self {
        Self { metrics }
    }
}

/// Tells the log and the metrics, once, what became of each transfer, whoever still waits for it; in
/// the context of the request that brought it.
#[derive(Clone, Debug)]
pub(super) struct Logged<S> {
    inner: S,
    metrics: Arc<LedgerMetrics>,
}

impl<S> Layer<S> for LoggedLayer {
    type Service = Logged<S>;

    fn layer(&self, inner: S) -> Logged<S> {
        let metrics = Arc::clone(&self.metrics);
        Logged { inner, metrics }
    }
}

impl<S> Service<Posting> for Logged<S>
where
    S: Service<Posting, Response = (), Error = Failed>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, posting: Posting) -> Self::Future {
        let ending = self.inner.call(posting.clone());
        let metrics = Arc::clone(&self.metrics);
        let logged = async move {
            let ended = ending.await;
            counted::ended(&metrics, &posting, &ended);
            log(&posting, &ended);
            ended
        };
        Box::pin(telemetry::carried(logged))
    }
}

impl<S> Service<Vec<Posting>> for Logged<S>
where
    S: Service<Arc<[Posting]>, Response = Vec<Result<(), Failed>>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, postings: Vec<Posting>) -> Self::Future {
        self.metrics.observe_batch(postings.len());
        // The store is asked on behalf of one request, or of none in particular.
        let request = match &*postings {
            [posting] => posting.request.clone(),
            _ => None,
        };
        let postings: Arc<[Posting]> = postings.into();
        let ending = self.inner.call(Arc::clone(&postings));
        let metrics = Arc::clone(&self.metrics);
        let logged = async move {
            let ended = ending.await?;
            for (posting, ended) in postings.iter().zip(&ended) {
                counted::ended(&metrics, posting, ended);
                // Mostly there is nothing to say.
                if ended.is_err() || tracing::enabled!(Level::DEBUG) {
                    telemetry::enter(posting.request.clone(), || log(posting, ended));
                }
            }
            Ok(ended)
        };
        Box::pin(telemetry::within(request, logged))
    }
}

fn log(posting: &Posting, ended: &Result<(), Failed>) {
    let (id, steps, tries) = (posting.id, posting.steps(), posting.tries());
    let ms = u64::try_from(posting.since.elapsed().as_millis()).unwrap_or(u64::MAX);
    match ended {
        Ok(()) => tracing::debug!(%id, steps, tries, ms, "a transfer was made"),
        Err(failed) if !failed.doubt && matches!(*failed.cause, Cause::OutOfRange { .. }) => {
            tracing::debug!(%id, steps, tries, ms, "a transfer was refused");
        }
        Err(failed) if !failed.doubt => {
            tracing::warn!(%id, steps, tries, ms, cause = failed.cause.kind(), "a transfer was not made");
        }
        Err(failed) => {
            tracing::error!(%id, steps, tries, ms, cause = failed.cause.kind(), "it is not known yet whether a transfer was made");
        }
    }
}
