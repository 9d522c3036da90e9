//! The routes of splitdim, on one page.

mod accounts;
mod body;
mod error;
mod once;
mod page;
mod rendered;
mod reset;
mod status;
mod tagged;
mod transfer;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::handler::Handler;
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::{MethodRouter, any, get, post_service};
use tower::Service;
use tower_http::timeout::TimeoutLayer;

use crate::pipeline::Ledger;
use crate::web::{self, Edge, Resets, Routes, ShortcutLayer, compressed};
use rendered::Rendered;

/// Where transfers are posted.
const TRANSFER: &str = "/api/transfer";

/// The longest body of a transfer, in bytes.
const MAX_BODY: usize = 8 * 1024;

/// How long everything but a transfer may take; a transfer has a limit of its own, below which its
/// work goes on. So does the work of a reset.
const ANSWER_WITHIN: Duration = Duration::from_millis(4500);

/// What the handlers share.
#[derive(Debug)]
struct App {
    ledger: Ledger,
    resets: Resets,
    accounts: Rendered,
    clear: Rendered,
}

/// The whole service over `ledger`, which may be emptied as `resets` says.
pub fn app(
    ledger: Ledger,
    resets: Resets,
    edge: Edge,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let metrics = Arc::clone(ledger.metrics());
    let app = Arc::new(App {
        ledger,
        resets,
        accounts: Rendered::new(accounts::render_accounts),
        clear: Rendered::new(move |snapshot| accounts::render_clear(snapshot, &metrics)),
    });
    let transfer = transfer::transfer.with_state(Arc::clone(&app));
    let shortcut = ShortcutLayer::new(Method::POST, TRANSFER, transfer.clone());
    web::around(routes(app, post_service(transfer)), shortcut, edge)
}

/// `transfer` has the very service that the shortcut has.
fn routes(app: Arc<App>, transfer: MethodRouter<Arc<App>>) -> Routes {
    let answer_in_time =
        TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_WITHIN);

    Routes::new()
        .route(
            "/api/accounts",
            compressed(get(accounts::accounts).layer(answer_in_time)),
        )
        .route(
            "/api/clear",
            compressed(get(accounts::clear).layer(answer_in_time)),
        )
        .route("/api/reset", any(reset::reset))
        .route(TRANSFER, transfer)
        .route(
            "/api/v1/transfers/{id}",
            get(status::status).layer(answer_in_time),
        )
        .route("/", compressed(get(page::INDEX)))
        .route("/static/app.js", compressed(get(page::APP)))
        .route("/static/keys.mjs", compressed(get(page::KEYS)))
        .route("/static/names.mjs", compressed(get(page::NAMES)))
        .route("/static/server.mjs", compressed(get(page::SERVER)))
        .route("/static/style.css", compressed(get(page::STYLE)))
        .route("/static/icon.svg", compressed(get(page::ICON)))
        .route(
            "/static/manifest.webmanifest",
            compressed(get(page::MANIFEST)),
        )
        .healthz()
        .map(|router| router.with_state(app))
}
