//! HTTP: every route on one page, and what stands around all of them.

mod accounts;
mod body;
mod error;
mod health;
mod page;
mod problem;
mod rendered;
mod request_id;
mod reset;
mod security;
mod transfer;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{any, get, post};
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::pipeline::Ledger;
use rendered::Rendered;

/// The longest request body, in bytes.
const MAX_BODY: usize = 8 * 1024;

/// How long everything but a transfer may take; a transfer has a limit of its own, below which its
/// work goes on.
const ANSWER_WITHIN: Duration = Duration::from_millis(4500);

/// What the handlers share.
#[derive(Debug)]
struct App {
    ledger: Ledger,
    accounts: Rendered,
    clear: Rendered,
}

/// The whole service over `ledger`.
///
/// The layers stand around the router instead of in it (`Router::layer` puts a boxed copy of them
/// around every route).
pub fn app(
    ledger: Ledger,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send {
    ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        // Every request has an id, its client's or ours, and the answer repeats it.
        .map_request(request_id::distrust)
        .layer(request_id::take_or_make())
        // One line for each request, with its id.
        .layer(request_id::trace())
        .layer(request_id::repeat())
        // Browsers are told what the page may do.
        .layer(security::headers())
        // For clients that ask for it.
        .layer(CompressionLayer::new())
        // A bug answers 500, and the connection lives on.
        .layer(CatchPanicLayer::custom(problem::panicked))
        // Whatever the router or a layer below refuses, says so as the handlers do.
        .map_response(problem::explain)
        .service(routes(ledger))
}

fn routes(ledger: Ledger) -> Router {
    let app = Arc::new(App {
        ledger,
        accounts: Rendered::new(accounts::render_accounts),
        clear: Rendered::new(accounts::render_clear),
    });
    // Longer bodies are not even read.
    let limit_body = RequestBodyLimitLayer::new(MAX_BODY);
    let answer_in_time =
        TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_WITHIN);

    Router::new()
        .route(
            "/api/accounts",
            get(accounts::accounts).layer(answer_in_time),
        )
        .route("/api/clear", get(accounts::clear).layer(answer_in_time))
        .route("/api/reset", any(reset::reset).layer(answer_in_time))
        .route("/api/transfer", post(transfer::transfer).layer(limit_body))
        .route("/healthz", get(health::healthz))
        .route("/", get(page::index))
        .route("/static/app.js", get(page::script))
        .route("/static/style.css", get(page::style))
        .route("/static/icon.svg", get(page::icon))
        .route("/static/manifest.webmanifest", get(page::manifest))
        .with_state(app)
}
