use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};

use super::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a browser says that another site's page has sent the request. Clients that are no browsers say
/// nothing, and are believed (Fetch Metadata Request Headers, W3C).
pub(super) fn is_of_another_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| site != "same-origin" && site != "none")
}

/// That a request was not sent by another site's page through the browser of somebody who may change what is
/// kept here. 403 if it was.
#[derive(Clone, Copy, Debug)]
pub struct OwnSite;

impl<S: Sync> FromRequestParts<S> for OwnSite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match is_of_another_site(&parts.headers) {
            false => Ok(Self),
            true => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "What changes something must not come from another site's page.",
            )),
        }
    }
}
