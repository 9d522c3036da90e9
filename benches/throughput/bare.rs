//! The baseline: what axum costs when it does nothing but read the request.
//!
//! A process of its own, as splitdim is: this same executable, told [`COMMAND`].

use std::borrow::Cow;
use std::env;
use std::net::Ipv4Addr;
use std::process::Command;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::server::Server;

/// The first argument that turns this executable into the bare server; the second is the size of its body.
pub(crate) const COMMAND: &str = "serve-bare";

/// Where it answers a body that is always the same.
pub(crate) const STATIC_BODY: &str = "/static-body";

/// Starts the bare server, with a static body of `body_size` bytes.
pub(crate) fn start(body_size: usize) -> Outcome<Server> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(COMMAND).arg(body_size.to_string());
    Server::start("the bare server", &mut command, None)
}

/// What a transfer says. It borrows: the baseline is as fast as serde_json allows.
#[derive(Deserialize)]
struct Transfer<'a> {
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    receiver: Cow<'a, str>,
    amount: i64,
}

/// What a put says.
#[derive(Deserialize)]
struct Put<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    version: u64,
}

/// Serves until it is killed.
pub(crate) fn serve(body_size: Option<&String>) -> Outcome<()> {
    let body_size: usize = body_size
        .ok_or_else(|| format!("usage: {COMMAND} SIZE"))?
        .parse()
        .map_err(|error| format!("{COMMAND}: the size: {error}"))?;
    let body = Bytes::from(vec![b' '; body_size]);
    let router = Router::new()
        .route("/api/transfer", post(transfer))
        .route("/api/put", post(put))
        .route(
            STATIC_BODY,
            get(move || async move { ([(CONTENT_TYPE, "application/json")], body) }),
        );
    Runtime::new()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("listening on {}", listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

async fn transfer(body: Bytes) -> StatusCode {
    match serde_json::from_slice::<Transfer<'_>>(&body) {
        Ok(transfer) if transfer.sender != transfer.receiver && transfer.amount > 0 => {
            StatusCode::OK
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

async fn put(body: Bytes) -> StatusCode {
    match serde_json::from_slice::<Put<'_>>(&body) {
        Ok(put) if !put.key.is_empty() && !put.value.is_empty() && put.version < u64::MAX => {
            StatusCode::OK
        }
        _ => StatusCode::BAD_REQUEST,
    }
}
