//! What is served to those who operate a process, on a port of its own: the public one does not
//! show it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task;
use tower::layer::util::Identity;

use crate::metrics::{self, Metrics};
use crate::serve::{self, Limits};
use crate::web::{self, Edge, Problem, Readiness, Routes};

/// Connections that may be open: somebody who scrapes, and a few who look.
const MAX_CONNECTIONS: usize = 64;

/// Serves `/metrics`, `/livez` and `/readyz` on `listener` for as long as the process lives: while
/// it finishes its work, too.
pub fn spawn(listener: TcpListener, metrics: Metrics, readiness: Readiness, limits: Limits) {
    let routes = Routes::new()
        .route("/metrics", get(text))
        .map(|router| router.with_state(Arc::new(metrics)));
    let edge = Edge {
        readiness,
        requests: None,
    };
    let limits = Limits {
        max_connections: MAX_CONNECTIONS,
        ..limits
    };
    // Nobody waits for it: it ends with the runtime.
    task::spawn(serve::for_ever(
        listener,
        web::around(routes, Identity::new(), edge),
        limits,
    ));
}

async fn text(State(metrics): State<Arc<Metrics>>) -> Response {
    // On another thread, since it reads files.
    match task::spawn_blocking(move || metrics.text()).await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Ok(Err(_)) | Err(_) => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The figures could not be written.",
        )
        .into_response(),
    }
}
