//! The page. It is compiled in: one file to install, nothing to mount, and no path that could be
//! wrong.

use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};

type Asset = ([(HeaderName, &'static str); 2], &'static [u8]);

pub(super) async fn index() -> Asset {
    asset(
        "text/html; charset=utf-8",
        include_bytes!("../../static/index.html"),
    )
}

pub(super) async fn script() -> Asset {
    asset(
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/app.js"),
    )
}

pub(super) async fn style() -> Asset {
    asset(
        "text/css; charset=utf-8",
        include_bytes!("../../static/style.css"),
    )
}

pub(super) async fn icon() -> Asset {
    asset("image/svg+xml", include_bytes!("../../static/icon.svg"))
}

pub(super) async fn manifest() -> Asset {
    asset(
        "application/manifest+json",
        include_bytes!("../../static/manifest.webmanifest"),
    )
}

/// Names carry no version, so browsers must ask each time.
fn asset(content_type: &'static str, bytes: &'static [u8]) -> Asset {
    (
        [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")],
        bytes,
    )
}
