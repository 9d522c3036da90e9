//! `/api/fault`: requests can be made to fail, for experiments and tests.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use resilient::inject::{Fault, Faults};
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::json;
use crate::kv::wire::path as paths;
use crate::web::{Object, OwnSite, Problem};

/// The faults of a server, by path; a fault answers with its status.
pub type HttpFaults = Faults<&'static str, StatusCode>;

const PATHS: [&str; 5] = [
    paths::GET,
    paths::LIST,
    paths::PUT,
    paths::TRANSACTION,
    paths::RESET,
];

/// The longest delay that can be asked for.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// The path of `request`, if it can have a fault.
pub(super) fn path(request: &Request<Body>) -> Option<&'static str> {
    PATHS.into_iter().find(|path| *path == request.uri().path())
}

/// The answer to a request that is made to fail.
pub(super) fn answer(status: &StatusCode) -> Response<Body> {
    Problem::new(
        *status,
        "This request was made to fail, as /api/fault asked for.",
    )
    .into_response()
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFault {
    #[serde(skip_serializing, default)]
    path: String,
    #[serde(default)]
    fail_next: u64,
    #[serde(default)]
    abort_percent: u8,
    #[serde(default = "internal_server_error")]
    status: u16,
    #[serde(default)]
    delay: String,
}

fn internal_server_error() -> u16 {
    StatusCode::INTERNAL_SERVER_ERROR.as_u16()
}

/// `POST /api/fault`: sets the fault of a path.
pub(super) async fn set(
    _: OwnSite,
    State(faults): State<HttpFaults>,
    body: super::body::Body,
) -> Result<StatusCode, Error> {
    let Object(wish) = json::read::<Object<WireFault>>(&body.0).map_err(|_| {
        Error::Invalid(
            "A fault must be {\"path\": text, \"failNext\": integer, \"abortPercent\": integer, \"status\": integer, \
             \"delay\": text}, all but path optional."
                .into(),
        )
    })?;
    let Some(path) = PATHS.into_iter().find(|path| *path == wish.path) else {
        return Err(Error::Invalid(
            format!("The path must be one of {}.", PATHS.join(", ")).into(),
        ));
    };
    faults.set(path, wish.into_fault()?);
    Ok(StatusCode::OK)
}

impl WireFault {
    fn into_fault(self) -> Result<Fault<StatusCode>, Error> {
        let status = StatusCode::from_u16(self.status)
            .ok()
            .filter(|status| status.as_u16() >= 400);
        let status = status.ok_or(Error::Invalid("The status must be from 400 to 999.".into()))?;
        if self.abort_percent > 100 {
            return Err(Error::Invalid(
                "The abortPercent must be from 0 to 100.".into(),
            ));
        }
        let delay = match &*self.delay {
            "" => Duration::ZERO,
            text => humantime::parse_duration(text)
                .ok()
                .filter(|delay| *delay <= MAX_DELAY)
                .ok_or(Error::Invalid(
                    "The delay must be a duration such as 300ms or 2s, at most 10m.".into(),
                ))?,
        };
        Ok(Fault {
            fail_next: self.fail_next,
            abort_percent: self.abort_percent,
            delay,
            failure: status,
        })
    }

    fn new(fault: &Fault<StatusCode>) -> Self {
        Self {
            path: String::new(),
            fail_next: fault.fail_next,
            abort_percent: fault.abort_percent,
            status: fault.failure.as_u16(),
            delay: humantime::format_duration(fault.delay).to_string(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    faults: BTreeMap<&'static str, WireFault>,
    requests: BTreeMap<&'static str, u64>,
    failures: BTreeMap<&'static str, u64>,
}

/// `GET /api/fault`: the faults that are set, and how many requests there were and were failed.
pub(super) async fn report(State(faults): State<HttpFaults>) -> impl IntoResponse {
    let mut report = Report {
        faults: BTreeMap::new(),
        requests: BTreeMap::new(),
        failures: BTreeMap::new(),
    };
    for (path, seen) in faults.report() {
        report.requests.insert(path, seen.requests);
        report.failures.insert(path, seen.failures);
        if let Some(fault) = &seen.fault {
            report.faults.insert(path, WireFault::new(fault));
        }
    }
    axum::Json(report)
}

/// `DELETE /api/fault`: no faults any more, and counters at zero.
pub(super) async fn clear(_: OwnSite, State(faults): State<HttpFaults>) -> StatusCode {
    faults.clear();
    StatusCode::OK
}
