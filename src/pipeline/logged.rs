use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower::{Layer, Service};
use tracing::Instrument;

use super::error::{Cause, Failed};
use super::posting::Posting;

/// Puts [`Logged`] around what makes transfers.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedLayer;

/// Tells the log, once, what became of each transfer, whoever still waits for it; in the span of the
/// request that brought it.
#[derive(Clone, Debug)]
pub(super) struct Logged<S> {
    inner: S,
}

impl<S> Layer<S> for LoggedLayer {
    type Service = Logged<S>;

    fn layer(&self, inner: S) -> Logged<S> {
        Logged { inner }
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
        let logged = async move {
            let ended = ending.await;
            log(&posting, &ended);
            ended
        };
        Box::pin(logged.in_current_span())
    }
}

impl<S> Service<Vec<Posting>> for Logged<S>
where
    S: Service<Vec<Posting>, Response = Vec<Result<(), Failed>>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, postings: Vec<Posting>) -> Self::Future {
        let ending = self.inner.call(postings.clone());
        Box::pin(async move {
            let ended = ending.await?;
            for (posting, ended) in postings.iter().zip(&ended) {
                log(posting, ended);
            }
            Ok(ended)
        })
    }
}

fn log(posting: &Posting, ended: &Result<(), Failed>) {
    let _request = posting.span.enter();
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
