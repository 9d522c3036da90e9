use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::ALLOW;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::response::IntoResponse;

use super::App;
use super::error::Error;

/// `GET /api/reset`: 200 with an empty body when the ledger is empty. That it is a GET is owed to
/// old clients; so browsers are refused where the wish need not be their user's.
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response<Body>, Error> {
    // Here and not by the router, which would let HEAD through as a kind of GET: it must change nothing.
    if method != Method::GET {
        return Ok((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")]).into_response());
    }
    if !is_wanted(&headers) {
        return Err(Error::CrossSite);
    }
    // Not to be cut in half by a client that hangs up, nor counted as failed when it only was slow.
    let ledger = app.ledger.clone();
    let reset = tokio::spawn(async move { ledger.reset().await }).await;
    reset
        .map_err(|_| Error::Internal("a reset was lost"))?
        .map_err(Error::Reset)?;
    Ok(StatusCode::OK.into_response())
}

/// Fetch Metadata (W3C): curl sends none of it, browsers always do.
fn is_wanted(headers: &HeaderMap) -> bool {
    let sites = headers.get_all("sec-fetch-site");
    let same_site = sites
        .iter()
        .all(|site| site == "same-origin" || site == "none");
    let prefetch = headers.get_all("sec-purpose").iter().any(|purpose| {
        purpose
            .as_bytes()
            .windows(8)
            .any(|part| part.eq_ignore_ascii_case(b"prefetch"))
    });
    same_site && !prefetch
}
