use std::net::{self, SocketAddr};
use std::{future, io};

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::activity::Place;
use super::connection::Connection;

/// A connection on its way to the event loop that will serve it.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Non-blocking, and known to no runtime.
    pub(super) stream: net::TcpStream,
    pub(super) address: SocketAddr,
    pub(super) place: Place,
}

/// The connections of one event loop, as they come.
#[derive(Debug)]
pub(super) struct Arrivals {
    pub(super) queue: mpsc::UnboundedReceiver<Arrival>,
    /// Where the server listens.
    pub(super) local: SocketAddr,
}

impl axum::serve::Listener for Arrivals {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        while let Some(arrival) = self.queue.recv().await {
            match TcpStream::from_std(arrival.stream) {
                Ok(stream) => {
                    let connection = Connection::new(stream, arrival.place);
                    return (connection, arrival.address);
                }
                Err(error) => tracing::debug!(%error, "a connection was lost on its way"),
            }
        }
        // Nobody comes any more; those who came are served.
        future::pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}
