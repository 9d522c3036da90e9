//! An HTTP/1 server and the least client that keeps a connection open.

use axum::Router;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Serves `router` on a free port until the test ends, and opens two connections to it.
pub(crate) async fn two_connections(router: Router) -> [Connection; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let connect = async || TcpStream::connect(address).await.expect("a listener");
    [
        Connection::new(connect().await),
        Connection::new(connect().await),
    ]
}

/// One connection; dropping it hangs up.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// The status and the body that `GET path` is answered by.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        self.send(path).await;
        self.answer().await
    }

    /// Sends `GET path` and waits for nothing.
    pub(crate) async fn send(&mut self, path: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.stream
            .write_all(head.as_bytes())
            .await
            .expect("an open connection");
    }

    /// The status and the body of the next answer.
    pub(crate) async fn answer(&mut self) -> (u16, String) {
        let status = self.line().await;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut length = 0;
        loop {
            let line = self.line().await.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.stream
            .read_exact(&mut body)
            .await
            .expect("a whole body");
        (
            status.expect("a status"),
            String::from_utf8(body).expect("a body of text"),
        )
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .await
            .expect("an open connection");
        assert!(!line.is_empty(), "the server hung up");
        line.trim_end().to_owned()
    }
}
