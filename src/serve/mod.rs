//! Serves until it is told to stop, then finishes what runs.

mod acceptor;
mod activity;
mod arrivals;
mod attended;
mod connection;
mod event_loops;
mod stop;
mod until_written;

use std::convert::Infallible;
use std::future::{Future, IntoFuture};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use resilient::detach::Tracker;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower::Service;

use acceptor::{Acceptor, Entrance};
use activity::Activities;
use arrivals::Arrivals;
use attended::Attending;
pub use event_loops::{EventLoops, StartError};
pub use stop::stop_signal;
pub use until_written::until_written;

/// How long clients are given to notice that they must close their connections.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long those who came last are given to be read: a connection on which nothing was read yet is
/// closed by a graceful shutdown, whatever its client has sent.
const LAST_CALL: Duration = Duration::from_millis(200);

/// What a server allows its clients, and itself at the end.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A connection on which nothing was written for so long is cut.
    pub idle_timeout: Duration,
    /// At so many connections, a new one takes the place of the longest idle.
    pub max_connections: usize,
    /// How long what runs may take to finish after the stop.
    pub grace_period: Duration,
}

/// A server that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Some requests or transfers did not finish within the grace period.
    #[error("{connections} connections and {transfers} transfers were not finished within the grace period of {} s", .grace_period.as_secs())]
    Unfinished {
        /// Connections that were still open.
        connections: usize,
        /// Transfers that were still under way.
        transfers: usize,
        /// What they were given.
        grace_period: Duration,
    },
    /// The operating system refused.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}

/// Serves `app` on `listener` by `event_loops` until `stop` ends, then finishes what runs: requests
/// that were sent on open connections, and the work that `running` counts.
///
/// After the stop, answers ask clients to close their connections, and for up to a second new ones
/// are still served: so nobody's request meets a connection that is just being closed. Then the
/// listener is closed, after those who wait before it were let in; and a moment later, when their
/// requests were read, the idle connections are.
///
/// # Errors
///
/// [`ServeError`] if something was left unfinished.
pub async fn run<App>(
    listener: TcpListener,
    app: App,
    event_loops: &EventLoops,
    running: Tracker,
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError>
where
    App: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>,
    App: Clone + Send + 'static,
{
    let stopped = Notify::new();
    let Serving {
        mut acceptor,
        activities,
        open,
        servers,
    } = serve(listener, app, event_loops, limits)?;
    let finished = async {
        tokio::select! {
            never = acceptor.accept() => match never {},
            () = stop => {}
        }
        activities.leave();
        tracing::info!(
            connections = activities.len(),
            grace_period_s = limits.grace_period.as_secs(),
            "stopping: finishing what runs"
        );
        stopped.notify_one();
        tokio::select! {
            never = acceptor.accept() => match never {},
            _ = timeout(FAREWELL, activities.none_left()) => {}
        }
        acceptor.close();
        let _ = timeout(LAST_CALL, activities.none_left()).await;
        drop(open);
        for server in servers {
            server.await.map_err(io::Error::other)??;
        }
        running.close_and_wait().await;
        Ok(())
    };
    tokio::select! {
        result = finished => result,
        () = async { stopped.notified().await; sleep(limits.grace_period).await } => {
            Err(ServeError::Unfinished {
                connections: activities.len(),
                transfers: running.in_flight(),
                grace_period: limits.grace_period,
            })
        }
    }
}

/// Serves `app` on `listener` for as long as this is polled.
pub async fn for_ever<App>(listener: TcpListener, app: App, limits: Limits)
where
    App: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>,
    App: Clone + Send + 'static,
{
    match serve(listener, app, &EventLoops::current(), limits) {
        Ok(mut serving) => match serving.acceptor.accept().await {},
        Err(error) => tracing::error!(%error, "a listener cannot be served"),
    }
}

/// A server for each event loop, and who gives them connections.
struct Serving {
    acceptor: Acceptor,
    activities: Arc<Activities>,
    /// When it is dropped, the servers shut down gracefully.
    open: watch::Sender<()>,
    servers: Vec<JoinHandle<io::Result<()>>>,
}

fn serve<App>(
    listener: TcpListener,
    app: App,
    event_loops: &EventLoops,
    limits: Limits,
) -> io::Result<Serving>
where
    App: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>,
    App: Clone + Send + 'static,
{
    let local = listener.local_addr()?;
    let (open, is_open) = watch::channel(());
    let mut entrances = Vec::new();
    let servers = event_loops.spawn(|| {
        let (entrance, queue) = mpsc::unbounded_channel();
        entrances.push(entrance);
        let arrivals = Arrivals { queue, local };
        let mut is_open = is_open.clone();
        axum::serve(arrivals, Attending(app.clone()))
            .with_graceful_shutdown(async move { while is_open.changed().await.is_ok() {} })
            .into_future()
    });
    let activities = Activities::on(entrances.len());
    let idle = Activities::cut_idle(Arc::downgrade(&activities), limits.idle_timeout);
    tokio::spawn(idle);
    let entrance = Entrance {
        activities: Arc::clone(&activities),
        max_connections: limits.max_connections,
        event_loops: entrances,
    };
    Ok(Serving {
        acceptor: Acceptor { listener, entrance },
        activities,
        open,
        servers,
    })
}
