use std::future::Future;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use resilient::timeout::TimeoutLayer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thread_local::ThreadLocal;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder};

use super::{CONNECT_TIMEOUT, POOL_IDLE_TIMEOUT, answer, trace};
use crate::kv::{KvError, KvResponse, Stamp};

/// How long a connection is silent until it is asked whether its other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What opens connections. Boxed, since they are few.
type Connector = BoxCloneSyncService<Uri, TokioIo<TcpStream>, BoxError>;

/// Sends each request once, and waits for its answer no longer than it may.
///
/// By the client that reqwest is made of: a transfer in single puts is five requests, and what
/// reqwest does around each of them (it parses the address three times, for redirects that are not
/// followed) takes as much time as the request itself.
#[derive(Debug)]
pub(super) struct Once {
    /// One for each thread: where each is an event loop, an answer comes to the thread that waits for it.
    clients: ThreadLocal<Client<Connector, Full<Bytes>>>,
    server: Authority,
    /// The same as a header.
    host: HeaderValue,
    /// Until an answer is complete.
    timeout: Duration,
}

impl Once {
    pub(super) fn new(server: &str, timeout: Duration) -> Result<Self, BoxError> {
        Ok(Self {
            clients: ThreadLocal::new(),
            server: server.parse()?,
            host: server.parse()?,
            timeout,
        })
    }

    /// Reads from `path`. Whatever goes wrong, nothing was changed.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        path: &'static str,
        query: &impl Serialize,
    ) -> Result<(T, Option<Stamp>), KvError> {
        let address = address(path, query)?;
        let read = async {
            let answer = self.send(Method::GET, address, None).await;
            let answer = answer.map_err(|error| KvError::Unavailable(error.into()))?;
            answer::of_read(answer.status())?;
            let stamp = answer::stamp(answer.headers());
            let body = answer.into_body().collect().await;
            let value = answer::decoded(body.map(|body| body.to_bytes()))?;
            Ok((value, stamp))
        };
        self.in_time(read, KvError::Unavailable).await
    }

    /// Writes to `path` by a `POST` of `body`.
    pub(super) async fn write_by_post(
        &self,
        path: &'static str,
        body: Vec<u8>,
    ) -> Result<KvResponse, KvError> {
        let address = PathAndQuery::from_static(path);
        self.write(self.send(Method::POST, address, Some(body)))
            .await
    }

    /// Writes to `path` by a `GET`.
    pub(super) async fn write_by_get(
        &self,
        path: &'static str,
        query: &impl Serialize,
    ) -> Result<KvResponse, KvError> {
        self.write(self.send(Method::GET, address(path, query)?, None))
            .await
    }

    async fn write(&self, answer: ResponseFuture) -> Result<KvResponse, KvError> {
        let write = async {
            let answer = match answer.await {
                Ok(answer) => answer,
                // It could not connect, so no byte of the request was sent.
                Err(error) if error.is_connect() => return Err(KvError::Unavailable(error.into())),
                Err(error) => return Err(KvError::Unknown(error.into())),
            };
            match answer.status() {
                StatusCode::OK => {
                    let stamp = answer::stamp(answer.headers());
                    Ok(KvResponse::Done { stamp })
                }
                StatusCode::PRECONDITION_REQUIRED => {
                    let body = answer.into_body().collect().await;
                    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                    Err(KvError::Conflict(answer::conflict(&body)))
                }
                status => Err(answer::no_write(status)),
            }
        };
        self.in_time(write, KvError::Unknown).await
    }

    fn send(&self, method: Method, address: PathAndQuery, body: Option<Vec<u8>>) -> ResponseFuture {
        let mut address = Uri::from(address).into_parts();
        address.scheme = Some(Scheme::HTTP);
        address.authority = Some(self.server.clone());
        let address = Uri::from_parts(address).expect("it has all three parts of an address");
        let is_json = body.is_some();
        let mut request = Request::new(Full::from(body.unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() = address;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if is_json {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        trace::pass(headers);
        self.clients.get_or(client).request(request)
    }

    /// What `answer` comes to, or an error `late`.
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, KvError>>,
        late: fn(BoxError) -> KvError,
    ) -> Result<T, KvError> {
        let answer = timeout(self.timeout, answer).await;
        answer.unwrap_or_else(|_| Err(late(Late(self.timeout).into())))
    }
}

fn address(path: &'static str, query: &impl Serialize) -> Result<PathAndQuery, KvError> {
    let invalid = |error: BoxError| KvError::Invalid(format!("{path}: {error}"));
    let query = serde_urlencoded::to_string(query).map_err(|error| invalid(error.into()))?;
    if query.is_empty() {
        return Ok(PathAndQuery::from_static(path));
    }
    let address = format!("{path}?{query}").try_into();
    address.map_err(|error: InvalidUri| invalid(error.into()))
}

fn client() -> Client<Connector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    // Of each address that the name has: the next one is tried then.
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = ServiceBuilder::new()
        // Of all together, and of looking up the name. Then no byte was sent for certain.
        .layer(TimeoutLayer::new(CONNECT_TIMEOUT))
        .map_err(BoxError::from)
        .service(connector);
    // What still waited for its turn on a connection when that closed is sent on another one: hyper
    // gives back what it has written nothing of, and nothing else.
    Client::builder(TokioExecutor::new())
        // It is among the headers already.
        .set_host(false)
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .build(Connector::new(connector))
}

/// No answer came in time.
#[derive(Debug, thiserror::Error)]
#[error("the store did not answer within {0:?}")]
struct Late(Duration);
