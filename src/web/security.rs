use axum::body::{Body, HttpBody};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Response};

/// The page loads from its own origin only, runs no inline code, and is framed by nobody.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Tells browsers what `answer` may do, if there is anything in it that they could do something with: most
/// answers are that a transfer was made, and these three would be most of their bytes. One layer for all:
/// each moves every answer once more.
pub(super) fn confined(mut answer: Response<Body>) -> Response<Body> {
    let is_empty = answer.body().is_end_stream();
    let headers = answer.headers_mut();
    // An answer to HEAD is empty, and has the type of what it is about.
    if is_empty && !headers.contains_key(CONTENT_TYPE) {
        return answer;
    }
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
