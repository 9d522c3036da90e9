use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Limits;
use super::activity::Activities;
use super::connection::Connection;

/// Accepts connections, and cuts the longest idle one where there would be too many: so a client
/// that is new, a liveness probe among them, always gets in.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    limits: Limits,
    activities: Arc<Activities>,
}

impl Listener {
    pub(super) fn new(listener: TcpListener, limits: Limits, activities: Arc<Activities>) -> Self {
        Self {
            listener,
            limits,
            activities,
        }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Waits and goes on where the operating system has no more connections to give.
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
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
        self.listener.local_addr()
    }
}
