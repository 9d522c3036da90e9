//! The page. It is compiled in: one file to install, nothing to mount, and no path that could be
//! wrong.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

pub(super) const INDEX: Asset = asset(
    "text/html; charset=utf-8",
    include_bytes!("../../static/index.html"),
);
pub(super) const APP: Asset = script(include_bytes!("../../static/app.js"));
pub(super) const KEYS: Asset = script(include_bytes!("../../static/keys.mjs"));
pub(super) const NAMES: Asset = script(include_bytes!("../../static/names.mjs"));
pub(super) const SERVER: Asset = script(include_bytes!("../../static/server.mjs"));
pub(super) const STYLE: Asset = asset(
    "text/css; charset=utf-8",
    include_bytes!("../../static/style.css"),
);
pub(super) const ICON: Asset = asset("image/svg+xml", include_bytes!("../../static/icon.svg"));
pub(super) const MANIFEST: Asset = asset(
    "application/manifest+json",
    include_bytes!("../../static/manifest.webmanifest"),
);

/// A file of the page.
#[derive(Clone, Copy)]
pub(super) struct Asset {
    content_type: &'static str,
    bytes: &'static [u8],
}

const fn asset(content_type: &'static str, bytes: &'static [u8]) -> Asset {
    Asset {
        content_type,
        bytes,
    }
}

/// Browsers run a module of no other type.
const fn script(bytes: &'static [u8]) -> Asset {
    asset("text/javascript; charset=utf-8", bytes)
}

impl IntoResponse for Asset {
    fn into_response(self) -> Response {
        // Names carry no version, so browsers must ask each time.
        let headers = [
            (CONTENT_TYPE, self.content_type),
            (CACHE_CONTROL, "no-cache"),
        ];
        (headers, self.bytes).into_response()
    }
}
