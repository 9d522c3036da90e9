//! A `kvstore` server as a service.

mod answer;
mod array;
mod lists;
mod once;
mod trace;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::Url;
use serde::Serialize;
use tower::{BoxError, Service};

use super::wire::{GetQuery, ResetQuery, WirePut, path};
use super::{KvError, KvRequest, KvResponse, Put};
use lists::Lists;
use once::Once;

/// How long connecting may take: a server in the same cluster answers at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long an idle connection is kept: less than the server keeps it (60 s), so that no request
/// meets a connection that is just being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A `kvstore` server as a service: ours, or another, which knows no epochs and no ranges.
///
/// Each failure is classed by what it says of a write: certainly not made (the connection was
/// refused before a byte was sent, or the server said so), or not known. It is always ready.
///
/// Lists stand alone, and are long and rare: they have a client that tries again. What is asked
/// for by the thousand, once each, by layers that try again themselves, has one that does nothing else.
#[derive(Clone, Debug)]
pub struct KvClient(Arc<Server>);

#[derive(Debug)]
struct Server {
    once: Once,
    lists: Lists,
}

impl KvClient {
    /// How long a service waits for an answer of its store.
    pub const TIMEOUT: Duration = Duration::from_secs(1);

    /// A client of the server at `address` (`host:port`), which waits for `timeout` at most until
    /// an answer is complete. A list, which may be long, may take four times as long with its
    /// retries until it begins to arrive, and be silent for three quarters of that: a connection that is dead does not
    /// use it all up.
    ///
    /// # Errors
    ///
    /// The address is none, or the HTTP client cannot be set up.
    pub fn new(address: &str, timeout: Duration) -> Result<Self, BoxError> {
        let base = Url::parse(&format!("http://{address}"))?;
        Ok(Self(Arc::new(Server {
            once: Once::new(base.authority(), timeout)?,
            lists: Lists::new(base, timeout)?,
        })))
    }
}

impl Server {
    async fn answer(self: Arc<Self>, request: KvRequest) -> Result<KvResponse, KvError> {
        match request {
            KvRequest::Get { key } => {
                let id = Some((*key).into());
                let (versioned, stamp) = self.once.read(path::GET, &GetQuery { id }).await?;
                Ok(KvResponse::Value { versioned, stamp })
            }
            KvRequest::List { range, unless } => self.lists.list(range, unless).await,
            KvRequest::Put { put, epoch } => {
                let put = json(&WirePut::new(put, epoch))?;
                self.once.write_by_post(path::PUT, put).await
            }
            KvRequest::Transaction { puts, epoch } => {
                let put = |put: Put| WirePut::new(put, epoch);
                let puts = json(&puts.into_iter().map(put).collect::<Vec<_>>())?;
                self.once.write_by_post(path::TRANSACTION, puts).await
            }
            KvRequest::Reset { epoch } => {
                let query = ResetQuery { epoch };
                self.once.write_by_get(path::RESET, &query).await
            }
        }
    }
}

impl Service<KvRequest> for KvClient {
    type Response = KvResponse;
    type Error = KvError;
    type Future = Pin<Box<dyn Future<Output = Result<KvResponse, KvError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), KvError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: KvRequest) -> Self::Future {
        Box::pin(Arc::clone(&self.0).answer(request))
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, KvError> {
    serde_json::to_vec(body).map_err(|error| KvError::Invalid(error.to_string()))
}
