//! A load balancer before several replicas, as a Service of Kubernetes is one: each connection goes
//! to the next replica that is ready.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::http::{Connection, get};

/// How often replicas are asked whether they are ready.
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// A balancer on a port of its own. When it is dropped, no further connections are passed on.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    ready: Mutex<Ready>,
    /// Whoever passes a connection on reads; whoever takes a replica out writes, and so knows that
    /// nobody is on the way to it any more.
    passing: RwLock<()>,
}

#[derive(Debug, Default)]
struct Ready {
    replicas: Vec<SocketAddr>,
    turn: usize,
}

impl Balancer {
    /// One without replicas.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::<Shared>::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            accepting,
        }
    }

    /// Sends connections to `replica` too, from when it is ready until it is not.
    pub(crate) fn add(&self, replica: SocketAddr) {
        tokio::spawn(watch(replica, Arc::clone(&self.shared)));
    }

    /// Waits until so many replicas are ready.
    pub(crate) async fn has_ready(&self, count: usize) {
        let begun = Instant::now();
        while self.shared.lock().replicas.len() != count {
            assert!(begun.elapsed() < Duration::from_secs(20), "{self:?}");
            sleep(PROBE_EVERY).await;
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ready> {
        // Nothing panics under this lock.
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<SocketAddr> {
        let mut ready = self.lock();
        ready.turn += 1;
        let turn = ready.turn % ready.replicas.len().max(1);
        ready.replicas.get(turn).copied()
    }

    async fn pass(&self, mut client: TcpStream) -> io::Result<()> {
        let mut replica = {
            let _passing = self.passing.read().await;
            let next = self.next();
            TcpStream::connect(next.ok_or(io::ErrorKind::NotConnected)?).await?
        };
        client.set_nodelay(true)?;
        replica.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut replica).await?;
        Ok(())
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // However it ends: the client is told by its connection.
        tokio::spawn(async move { shared.pass(client).await });
    }
}

/// Asks on a connection that is kept, as balancers do: a replica that stops answers once more that
/// it does, before it closes its door.
async fn watch(replica: SocketAddr, shared: Arc<Shared>) {
    let Ok(mut probe) = Connection::open(replica).await else {
        return;
    };
    let mut was_ready = false;
    loop {
        let answer = probe.call(&get("/readyz")).await;
        let is_ready = answer.as_ref().is_ok_and(|answer| answer.status() == 200);
        if is_ready != was_ready {
            let _nobody_on_the_way = shared.passing.write().await;
            let replicas = &mut shared.lock().replicas;
            match is_ready {
                true => replicas.push(replica),
                false => replicas.retain(|ready| *ready != replica),
            }
        }
        was_ready = is_ready;
        let is_last = |answer: &super::http::Answer| {
            super::http::header(answer, "connection") == Some("close")
        };
        if answer.as_ref().map_or(true, is_last) {
            return;
        }
        sleep(PROBE_EVERY).await;
    }
}
