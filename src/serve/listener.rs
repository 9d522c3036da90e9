use std::future;
use std::io;
use std::iter;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::Limits;
use super::activity::Activities;
use super::connection::Connection;

/// Closes the listener from outside.
#[derive(Debug, Default)]
pub(super) struct Door {
    close: Notify,
    closed: Notify,
}

impl Door {
    /// Lets those in who wait before the listener, then closes it.
    pub(super) async fn close(&self) {
        self.close.notify_one();
        self.closed.notified().await;
    }
}

/// Accepts connections, and cuts the longest idle one where there would be too many: so a client
/// that is new, a liveness probe among them, always gets in.
#[derive(Debug)]
pub(super) struct Listener {
    /// `None` when it is closed.
    listener: Option<TcpListener>,
    /// Who came last, and is not served yet.
    last: Vec<(TcpStream, SocketAddr)>,
    door: Arc<Door>,
    limits: Limits,
    activities: Arc<Activities>,
}

impl Listener {
    pub(super) fn new(
        listener: TcpListener,
        door: Arc<Door>,
        limits: Limits,
        activities: Arc<Activities>,
    ) -> Self {
        Self {
            listener: Some(listener),
            last: Vec::new(),
            door,
            limits,
            activities,
        }
    }
}

impl Listener {
    async fn accept_or_close(&mut self) -> (TcpStream, SocketAddr) {
        while let Some(listener) = &mut self.listener {
            tokio::select! {
                // Waits and goes on where the operating system has no more connections to give.
                accepted = axum::serve::Listener::accept(listener) => return accepted,
                () = self.door.close.notified() => self.close(),
            }
        }
        match self.last.pop() {
            Some(accepted) => accepted,
            None => {
                self.door.closed.notify_one();
                future::pending().await
            }
        }
    }

    /// Closes the listener, after it let everybody in whom the operating system has connected, of
    /// whom the runtime may not have heard yet: they have perhaps sent a request.
    fn close(&mut self) {
        let waiting = self.listener.take().map(TcpListener::into_std);
        if let Some(Ok(listener)) = waiting {
            let accepted = iter::from_fn(|| listener.accept().ok());
            self.last = accepted
                .filter_map(|(stream, address)| {
                    stream.set_nonblocking(true).ok()?;
                    Some((TcpStream::from_std(stream).ok()?, address))
                })
                .collect();
        }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = self.accept_or_close().await;
        if self.activities.len() >= self.limits.max_connections {
            self.activities.cut_longest_idle();
        }
        // Answers are small, and nobody should wait for a second one to fill a packet.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        (
            Connection::new(
                stream,
                Arc::clone(&self.activities),
                self.limits.idle_timeout,
            ),
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        let closed = || io::Error::new(io::ErrorKind::NotConnected, "the listener is closed");
        self.listener.as_ref().ok_or_else(closed)?.local_addr()
    }
}
