//! The service that a test of the contract talks to: the routes in this process, a real process over
//! TCP, or a deployment that the environment names.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{Method, Request, Response};
use http_body_util::BodyExt;
use resilient::detach::Tracker;
use splitdim::kv::{KvService, spawn_embedded};
use splitdim::pipeline::{Ledger, Options};
use splitdim::store::Memory;
use splitdim::web::{Edge, Resets};
use tokio::sync::{Mutex, MutexGuard};
use tower::util::BoxCloneSyncService;
use tower::{Service as _, ServiceExt};
use uuid::Uuid;

use super::exact::Balances;
use super::http::{Answer, Connection, get, post};
use super::splitdim::Splitdim;

type App = BoxCloneSyncService<Request<Body>, Response<Body>, std::convert::Infallible>;

/// A deployment has one ledger: one test at a time.
static DEPLOYMENT: Mutex<()> = Mutex::const_new(());

/// Something that keeps the contract.
#[derive(Debug)]
pub(crate) struct Service {
    place: Place,
    /// What makes this test's people its own.
    mark: String,
}

#[derive(Debug)]
enum Place {
    Process(App),
    Tcp {
        address: SocketAddr,
        connection: Option<Connection>,
        _server: Server,
    },
}

/// What must live as long as the connection.
#[derive(Debug)]
enum Server {
    Own { _splitdim: Box<Splitdim> },
    Deployed { _turn: MutexGuard<'static, ()> },
}

impl Service {
    /// The routes over a store in memory, called without a network.
    pub(crate) fn in_process() -> Self {
        Self::over(store())
    }

    /// The routes over `store`, called without a network.
    pub(crate) fn over(store: KvService) -> Self {
        let ledger = Ledger::transactional(store, Options::default(), Tracker::new());
        Self {
            place: Place::Process(App::new(splitdim::http::app(
                ledger,
                Resets::Open,
                Edge::default(),
            ))),
            mark: String::new(),
        }
    }

    /// A real process, or the deployment that `EXTERNAL_IP` and `EXTERNAL_PORT` name. Its ledger
    /// is emptied by some of the tests.
    pub(crate) async fn over_tcp() -> Self {
        let (address, server, mark) = match deployment() {
            Some(address) => {
                let turn = DEPLOYMENT.lock().await;
                let mark = format!(" {}", Uuid::now_v7().simple());
                (address, Server::Deployed { _turn: turn }, mark)
            }
            None => {
                let splitdim = Splitdim::on_disk(&[]);
                (
                    splitdim.address,
                    Server::Own {
                        _splitdim: Box::new(splitdim),
                    },
                    String::new(),
                )
            }
        };
        Self {
            place: Place::Tcp {
                address,
                connection: None,
                _server: server,
            },
            mark,
        }
    }

    /// The answer to `request`.
    pub(crate) async fn call(&mut self, request: Request<Bytes>) -> Answer {
        match &mut self.place {
            Place::Process(app) => call(app, request).await,
            Place::Tcp {
                address,
                connection,
                ..
            } => {
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => Connection::open(*address)
                        .await
                        .expect("it accepts connections"),
                };
                let answer = open.call(&request).await.expect("it answers");
                if answer
                    .headers()
                    .get("connection")
                    .is_none_or(|value| value != "close")
                {
                    *connection = Some(open);
                }
                answer
            }
        }
    }

    /// The answer to `GET path`.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.call(get(path)).await
    }

    /// The answer to a transfer with `body`.
    pub(crate) async fn transfer(&mut self, body: impl Into<Bytes>) -> Answer {
        self.call(post("/api/transfer", body)).await
    }

    /// Makes a transfer that must succeed.
    pub(crate) async fn transferred(&mut self, sender: &str, receiver: &str, amount: i64) {
        let body = serde_json::json!({ "sender": sender, "receiver": receiver, "amount": amount });
        let answer = self.transfer(body.to_string()).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, &b""[..])
        );
    }

    /// Empties the ledger.
    pub(crate) async fn reset(&mut self) {
        let answer = self.get("/api/reset").await;
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, &b""[..])
        );
    }

    /// Everybody's balance.
    pub(crate) async fn balances(&mut self) -> Balances {
        let answer = self.get("/api/accounts").await;
        assert_eq!(answer.status(), 200);
        Balances::from_json(answer.body())
    }

    /// The balance of `person`, if there is such a one.
    pub(crate) async fn balance(&mut self, person: &str) -> Option<i64> {
        self.balances().await.0.get(person).copied()
    }

    /// A name that no other test uses on the same ledger.
    pub(crate) fn person(&self, name: &str) -> String {
        format!("{name}{}", self.mark)
    }
}

/// An empty store in memory, on a task of this runtime.
pub(crate) fn store() -> KvService {
    spawn_embedded(Memory::new()).0
}

fn deployment() -> Option<SocketAddr> {
    let (ip, port) = (
        env::var("EXTERNAL_IP").ok()?,
        env::var("EXTERNAL_PORT").ok()?,
    );
    let port = port.parse().expect("EXTERNAL_PORT is a port");
    let mut addresses = (ip, port).to_socket_addrs().expect("EXTERNAL_IP is a host");
    addresses.next()
}

/// Calls `app` as a server does that has read `request` from a connection.
async fn call(app: &mut App, request: Request<Bytes>) -> Answer {
    let (mut parts, body) = request.into_parts();
    let body = if parts.headers.contains_key(TRANSFER_ENCODING) {
        // Of a length that nobody knows.
        Body::new(http_body_util::Full::new(body).map_frame(|frame| frame))
    } else {
        if !body.is_empty() || parts.method != Method::GET {
            parts.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        Body::from(body)
    };
    let ready = app.ready().await.expect("it is always ready");
    let answer = ready.call(Request::from_parts(parts, body)).await;
    let (parts, body) = answer.expect("it always answers").into_parts();
    let body = body.collect().await.expect("bodies come whole").to_bytes();
    Response::from_parts(parts, body)
}
