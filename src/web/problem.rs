//! Answers that say what went wrong: `application/problem+json` (RFC 9457).

use std::any::Any;
use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Map, Value};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What a client is told about a request that failed. `detail` is a sentence for people.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    detail: Cow<'static, str>,
    /// Further members, which RFC 9457 lets an application choose.
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Problem {
    /// An answer of `status`; `detail` is a sentence that says what is wrong, and what to do.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status,
            detail: detail.into(),
            more: Map::new(),
        }
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.more.insert(member.to_owned(), value.into());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let body = serde_json::to_vec(&self).expect("text and numbers are always JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // The rest of the body is not read, so no further request can come after it.
            StatusCode::PAYLOAD_TOO_LARGE => {
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Gives the errors of layers and of the router a problem for a body; leaves all else as it is.
pub(super) fn explain(response: Response<Body>) -> Response<Body> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().get(CONTENT_TYPE) == Some(&PROBLEM_JSON) {
        return response;
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // Whoever was slow may be waiting still, and tells nothing yet.
        tracing::warn!("a request was not answered in time");
    }
    let (mut parts, _) = response.into_parts();
    let detail = match status {
        StatusCode::NOT_FOUND => "There is nothing at this path.",
        StatusCode::METHOD_NOT_ALLOWED => {
            "This path does not take this method; see the header Allow."
        }
        StatusCode::NOT_ACCEPTABLE => {
            "This is only sent as it is, or by gzip; see the header Accept-Encoding."
        }
        StatusCode::PAYLOAD_TOO_LARGE => "The body is too long.",
        StatusCode::SERVICE_UNAVAILABLE => "There was no answer in time; please try again.",
        _ => "The request failed.",
    };
    let mut problem = Problem::new(status, detail).into_response();
    for of_the_body in [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE] {
        parts.headers.remove(of_the_body);
    }
    problem.headers_mut().extend(parts.headers);
    problem
}

/// The answer where a handler panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = message, "a handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The service made a mistake; it was logged.",
    )
    .into_response()
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
