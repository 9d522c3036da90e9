use axum::http::HeaderMap;

/// Whether a GET that changes something is its user's wish, as far as a browser tells: not sent by
/// another site, nor to load a page in advance. Clients that are no browsers tell nothing, and are
/// believed (Fetch Metadata Request Headers, W3C).
#[must_use]
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let sites = headers.get_all("sec-fetch-site");
    let own_site = sites
        .iter()
        .all(|site| site == "same-origin" || site == "none");
    let prefetch = headers.get_all("sec-purpose").iter().any(|purpose| {
        purpose
            .as_bytes()
            .windows(8)
            .any(|part| part.eq_ignore_ascii_case(b"prefetch"))
    });
    own_site && !prefetch
}
