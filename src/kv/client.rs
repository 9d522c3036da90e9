use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, IF_NONE_MATCH};
use reqwest::redirect;
use reqwest::{Body, StatusCode, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, RequestBuilder};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{Jitter, RetryTransientMiddleware};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tower::{BoxError, Service};

use super::trace::PassTrace;
use super::wire::{self, GetQuery, ListQuery, WirePut, path};
use super::{Conflict, Entry, KvError, KvRequest, KvResponse, Put, Range, Stamp};

/// How long connecting may take: a server in the same cluster answers at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long an idle connection is kept: less than the server keeps it (60 s), so that no request
/// meets a connection that is just being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Retries of a list that fails: it stands alone, and nothing above tries it again.
const LIST_RETRIES: u32 = 2;

/// A `kvstore` server as a service: ours, or the lab's, which knows no epochs and no ranges.
///
/// Each failure is classed by what it says of a write: certainly not made (the connection was
/// refused before a byte was sent, or the server said so), or not known. It is always ready.
#[derive(Clone, Debug)]
pub struct KvClient(Arc<Server>);

#[derive(Debug)]
struct Server {
    /// Parsed once, not for each request.
    base: Url,
    list_timeout: Duration,
    /// Sends each request once.
    once: ClientWithMiddleware,
    /// Sends a request again that failed in passing.
    retrying: ClientWithMiddleware,
}

impl KvClient {
    /// How long a service waits for an answer of its store.
    pub const TIMEOUT: Duration = Duration::from_secs(1);

    /// A client of the server at `address` (`host:port`), which waits for `timeout` at most until
    /// an answer is complete. A list, which may be long, may take four times as long with its
    /// retries, and be silent for three quarters of that: a connection that is dead does not use it all up.
    ///
    /// # Errors
    ///
    /// The address is none, or the HTTP client cannot be set up.
    pub fn new(address: &str, timeout: Duration) -> Result<Self, BoxError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .read_timeout(timeout * 3)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .redirect(redirect::Policy::none())
            // Retries belong to those who know what may be sent twice.
            .retry(reqwest::retry::never())
            .no_proxy()
            .tcp_nodelay(true)
            .build()?;
        let policy = ExponentialBackoff::builder()
            .retry_bounds(Duration::from_millis(50), Duration::from_millis(500))
            .jitter(Jitter::Full)
            .build_with_max_retries(LIST_RETRIES);
        Ok(Self(Arc::new(Server {
            base: Url::parse(&format!("http://{address}"))?,
            list_timeout: timeout * 4,
            once: ClientBuilder::new(client.clone())
                .with_init(PassTrace)
                .build(),
            retrying: ClientBuilder::new(client)
                .with(RetryTransientMiddleware::new_with_policy(policy))
                .with_init(PassTrace)
                .build(),
        })))
    }
}

impl Server {
    async fn answer(self: Arc<Self>, request: KvRequest) -> Result<KvResponse, KvError> {
        match request {
            KvRequest::Get { key } => {
                let query = GetQuery {
                    id: Some((*key).into()),
                };
                let (versioned, stamp) = read(self.once.get(self.url(path::GET, &query))).await?;
                Ok(KvResponse::Value { versioned, stamp })
            }
            KvRequest::List { range, unless } => self.list(range, unless).await,
            KvRequest::Put { put, epoch } => {
                let body = serde_json::to_vec(&WirePut::new(put, epoch));
                write(json(self.once.post(self.path(path::PUT)), body)?).await
            }
            KvRequest::Transaction { puts, epoch } => {
                let body = transaction(puts, epoch);
                write(json(self.once.post(self.path(path::TRANSACTION)), body)?).await
            }
            KvRequest::Reset => write(self.once.get(self.path(path::RESET))).await,
        }
    }

    async fn list(&self, range: Range, unless: Option<Stamp>) -> Result<KvResponse, KvError> {
        let query = ListQuery {
            prefix: (*range.prefix).into(),
            start: (*range.start).into(),
            limit: range.limit,
        };
        let mut request = self
            .retrying
            .get(self.url(path::LIST, &query))
            .timeout(self.list_timeout);
        if let Some(stamp) = unless {
            request = request.header(IF_NONE_MATCH, wire::etag(stamp));
        }
        let answer = timeout(self.list_timeout, self.listed(request, range, unless)).await;
        answer.unwrap_or_else(|late| Err(KvError::Unavailable(late.into())))
    }

    async fn listed(
        &self,
        request: RequestBuilder,
        range: Range,
        unless: Option<Stamp>,
    ) -> Result<KvResponse, KvError> {
        let response = request
            .send()
            .await
            .map_err(|error| KvError::Unavailable(error.into()))?;
        if response.status() == StatusCode::NOT_MODIFIED && unless.is_some() {
            return Ok(KvResponse::Unchanged);
        }
        let (mut entries, stamp): (Vec<Entry>, _) = decode(response).await?;
        // A store that knows no ranges has sent everything, in whatever order.
        entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        entries.retain(|entry| range.contains(&entry.key));
        entries.truncate(range.limit.unwrap_or(usize::MAX));
        Ok(KvResponse::List { entries, stamp })
    }

    fn path(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    fn url(&self, path: &str, query: &impl serde::Serialize) -> Url {
        let mut url = self.path(path);
        // Text and numbers can always be written as a query.
        url.set_query(serde_urlencoded::to_string(query).ok().as_deref());
        url
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

fn transaction(puts: Vec<Put>, epoch: Option<u64>) -> serde_json::Result<Vec<u8>> {
    let puts: Vec<_> = puts
        .into_iter()
        .map(|put| WirePut::new(put, epoch))
        .collect();
    serde_json::to_vec(&puts)
}

fn json(
    request: RequestBuilder,
    body: serde_json::Result<Vec<u8>>,
) -> Result<RequestBuilder, KvError> {
    let body = body.map_err(|error| KvError::Invalid(error.to_string()))?;
    Ok(request
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body)))
}

/// Sends a read. Whatever goes wrong, nothing was changed.
async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<(T, Option<Stamp>), KvError> {
    decode(
        request
            .send()
            .await
            .map_err(|error| KvError::Unavailable(error.into()))?,
    )
    .await
}

async fn decode<T: DeserializeOwned>(
    response: reqwest::Response,
) -> Result<(T, Option<Stamp>), KvError> {
    let unavailable = |error: BoxError| KvError::Unavailable(error);
    let stamp = stamp(response.headers());
    match response.status() {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST => return Err(KvError::Invalid("the store refused a read".into())),
        status => {
            return Err(unavailable(
                format!("the store answered {status} to a read").into(),
            ));
        }
    }
    let body = response
        .bytes()
        .await
        .map_err(|error| unavailable(error.into()))?;
    let value = serde_json::from_slice(&body).map_err(|error| unavailable(error.into()))?;
    Ok((value, stamp))
}

/// Sends a write.
async fn write(request: RequestBuilder) -> Result<KvResponse, KvError> {
    let response = match request.send().await {
        Ok(response) => response,
        // It could not connect, so no byte of the request was sent.
        Err(error) if error.is_connect() => return Err(KvError::Unavailable(error.into())),
        Err(error) => return Err(KvError::Unknown(error.into())),
    };
    let status = response.status();
    let stamp = stamp(response.headers());
    match status {
        StatusCode::OK => Ok(KvResponse::Done { stamp }),
        StatusCode::PRECONDITION_REQUIRED => Err(KvError::Conflict(conflict(response).await)),
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Err(KvError::Invalid(format!(
            "the store answered {status} to a write"
        ))),
        // Whoever says so has not looked at what the write says.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED => Err(KvError::Unavailable(
            format!("the store answered {status} to a write").into(),
        )),
        // It may come from a proxy that had passed the write on.
        status => Err(KvError::Unknown(
            format!("the store answered {status} to a write").into(),
        )),
    }
}

/// What a 428 says. The body of a store without epochs says nothing.
async fn conflict(response: reqwest::Response) -> Conflict {
    #[derive(Default, serde::Deserialize)]
    struct Refusal {
        epoch: Option<u64>,
        #[serde(default)]
        moved: Vec<Entry>,
    }
    let body = response.bytes().await.unwrap_or_default();
    match serde_json::from_slice(&body).unwrap_or_default() {
        Refusal {
            epoch: Some(current),
            ..
        } => Conflict::Epoch { current },
        Refusal { moved, .. } => Conflict::Version { moved },
    }
}

/// When an answer was true, as far as its headers tell.
fn stamp(headers: &HeaderMap) -> Option<Stamp> {
    let number = |name| headers.get(name)?.to_str().ok()?.parse().ok();
    Some(Stamp {
        epoch: number(wire::EPOCH)?,
        revision: number(wire::REVISION)?,
    })
}
