use std::convert::Infallible;
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::{io, iter};

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::activity::Activities;
use super::arrivals::Arrival;

/// Accepts connections for event loops.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) entrance: Entrance,
}

/// Hands each connection to the event loop that has the fewest. Cuts the longest idle one where
/// there would be too many: so a client that is new, a liveness probe among them, always gets in.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) activities: Arc<Activities>,
    pub(super) max_connections: usize,
    /// Where each event loop takes its connections from.
    pub(super) event_loops: Vec<mpsc::UnboundedSender<Arrival>>,
}

impl Acceptor {
    /// Lets everybody in for as long as this is polled.
    pub(super) async fn accept(&mut self) -> Infallible {
        loop {
            // Waits and goes on where the operating system has no more connections to give.
            let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
            match stream.into_std() {
                Ok(stream) => self.entrance.enter(stream, address),
                Err(error) => lost(&error),
            }
        }
    }

    /// Closes the listener, after it let everybody in whom the operating system has connected, of
    /// whom the runtime may not have heard yet: they have perhaps sent a request.
    pub(super) fn close(self) {
        let listener = match self.listener.into_std() {
            Ok(listener) => listener,
            Err(error) => {
                return tracing::warn!(%error, "those who waited to be connected were lost");
            }
        };
        for (stream, address) in iter::from_fn(|| listener.accept().ok()) {
            match stream.set_nonblocking(true) {
                Ok(()) => self.entrance.enter(stream, address),
                Err(error) => lost(&error),
            }
        }
    }
}

impl Entrance {
    fn enter(&self, stream: net::TcpStream, address: SocketAddr) {
        if self.activities.len() >= self.max_connections {
            self.activities.cut_longest_idle();
        }
        // Answers are small, and nobody should wait for a second one to fill a packet.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        let place = self.activities.add();
        let event_loop = &self.event_loops[place.event_loop()];
        let arrival = Arrival {
            stream,
            address,
            place,
        };
        if event_loop.send(arrival).is_err() {
            tracing::error!("an event loop has ended, and a connection that was given to it");
        }
    }
}

fn lost(error: &io::Error) {
    tracing::debug!(%error, "a connection was lost as it came");
}
