//! What an orchestrator asks: whether the process serves, and whether it should be sent requests.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;

use super::{Problem, Routes};

/// Whether a process should be sent requests. Clones tell of the same process.
///
/// It should from the moment when its store has answered for the first time until it is told to
/// stop. Trouble with the store later does not change that: all replicas would be taken out of
/// service at once, and with them the answers that tell clients what is wrong.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<State>);

#[derive(Debug)]
struct State {
    reached: AtomicBool,
    leaving: AtomicBool,
}

impl Readiness {
    /// Of a process whose store is in itself.
    #[must_use]
    pub fn at_once() -> Self {
        Self::new(true)
    }

    /// Of a process that has yet to [reach](Self::reached) its store.
    #[must_use]
    pub fn once_reached() -> Self {
        Self::new(false)
    }

    fn new(reached: bool) -> Self {
        Self(Arc::new(State {
            reached: reached.into(),
            leaving: false.into(),
        }))
    }

    /// Notes that the store has answered.
    pub fn reached(&self) {
        // It is asked often, and changes once.
        if !self.0.reached.load(Ordering::Relaxed) {
            self.0.reached.store(true, Ordering::Relaxed);
        }
    }

    /// Ends when `stop` does, and has noted by then that the process is leaving.
    pub fn until(
        &self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        async move {
            stop.await;
            this.0.leaving.store(true, Ordering::Relaxed);
        }
    }

    fn answer(&self) -> Response<Body> {
        let reason = if self.0.leaving.load(Ordering::Relaxed) {
            "The process is stopping; it finishes what runs."
        } else if !self.0.reached.load(Ordering::Relaxed) {
            "The store was not reached yet."
        } else {
            return "OK".into_response();
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::at_once()
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Adds `/livez` and `/readyz`.
    ///
    /// Neither looks at anything downstream, and no limit that load could fill stands before them.
    #[must_use]
    pub fn probes(self, readiness: Readiness) -> Self {
        let ready = move || async move { readiness.answer() };
        self.route("/livez", get(alive))
            .route("/readyz", get(ready))
    }

    /// Adds `/healthz`, which is what `/livez` is to old clients.
    #[must_use]
    pub fn healthz(self) -> Self {
        self.route("/healthz", get(alive))
    }
}

/// The process serves.
async fn alive() -> &'static str {
    "OK"
}
