//! HTTP/1.1 as a client speaks it: one connection, kept alive, that is known down to its bytes.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use axum::http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer, wholly read.
pub(crate) type Answer = Response<Bytes>;

/// Far longer than anything here takes: so that a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(30);

/// `GET path`.
pub(crate) fn get(path: &str) -> Request<Bytes> {
    request(Method::GET, path, "")
}

/// `POST path`, without a content type.
pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    request(Method::POST, path, body)
}

/// A request without headers of its own.
pub(crate) fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let mut request = Request::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a test's path is a path");
    request
}

/// The same request with one more header.
pub(crate) fn with(mut request: Request<Bytes>, name: &str, value: &str) -> Request<Bytes> {
    let name = HeaderName::try_from(name).expect("a test's header has a name");
    let value = HeaderValue::from_bytes(value.as_bytes()).expect("a test's header has a value");
    request.headers_mut().append(name, value);
    request
}

/// The value of a header of `answer`, if it is there and text.
pub(crate) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

/// The bytes of `request`. A `Transfer-Encoding` of its own means chunks; else its length is told.
pub(crate) fn bytes(request: &Request<Bytes>) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    let mut line = |name: &HeaderName, value: &[u8]| {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    };
    line(&HOST, b"splitdim.test");
    for (name, value) in request.headers() {
        line(name, value.as_bytes());
    }
    let body = request.body();
    if request.headers().contains_key(TRANSFER_ENCODING) {
        bytes.extend_from_slice(b"\r\n");
        for chunk in body.chunks(1000) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        if !body.is_empty() || request.method() != Method::GET {
            line(&CONTENT_LENGTH, body.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
    }
    bytes
}

/// A connection to a server, kept alive.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was received and not yet read.
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends `request`, and reads its answer.
    pub(crate) async fn call(&mut self, request: &Request<Bytes>) -> io::Result<Answer> {
        self.write(&bytes(request)).await?;
        self.answer(request.method()).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        in_time(self.stream.write_all(bytes)).await
    }

    /// Reads the answer to a request of `method`.
    pub(crate) async fn answer(&mut self, method: &Method) -> io::Result<Answer> {
        in_time(self.read_answer(method)).await
    }

    /// Whether the server has ended the connection, or ends it in time.
    pub(crate) async fn is_ended(&mut self) -> bool {
        let mut rest = Vec::new();
        match timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => is_cut(&error),
            Err(_) => false,
        }
    }

    /// Ends the connection like a client that has crashed: what it did not read is refused.
    pub(crate) fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    async fn read_answer(&mut self, method: &Method) -> io::Result<Answer> {
        let head = loop {
            if let Some(end) = position(&self.received, b"\r\n\r\n") {
                break self.take(end + 4);
            }
            self.receive().await?;
        };
        let mut answer = parse_head(&head)?;
        let told = |name| answer.headers().get(name).map(HeaderValue::as_bytes);
        let has_none = *method == Method::HEAD || answer.status() == StatusCode::NOT_MODIFIED;
        *answer.body_mut() = if has_none {
            Bytes::new()
        } else if told(TRANSFER_ENCODING) == Some(b"chunked") {
            self.read_chunks().await?
        } else {
            let length = told(CONTENT_LENGTH).ok_or_else(|| strange("an answer without length"))?;
            self.read(parse_number(length, 10)?).await?.into()
        };
        Ok(answer)
    }

    async fn read_chunks(&mut self) -> io::Result<Bytes> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match position(&self.received, b"\r\n") {
                    Some(end) => break end,
                    None => self.receive().await?,
                }
            };
            let line = self.take(end + 2);
            let length = parse_number(&line[..end], 16)?;
            let chunk = self.read(length + 2).await?;
            if length == 0 {
                return Ok(body.into());
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }

    async fn read(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < length {
            self.receive().await?;
        }
        Ok(self.take(length))
    }

    async fn receive(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        self.received.drain(..length).collect()
    }
}

/// Whether `error` says that the other side has ended the connection.
pub(crate) fn is_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
    )
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await?
}

fn parse_head(head: &[u8]) -> io::Result<Answer> {
    let head = std::str::from_utf8(head).map_err(|_| strange("a head that is no text"))?;
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|status| status.parse::<StatusCode>().ok());
    let mut answer = Answer::default();
    *answer.status_mut() = status.ok_or_else(|| strange("an answer without status"))?;
    for line in lines {
        let header = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::try_from(name).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) = header.ok_or_else(|| strange("a header that is none"))?;
        answer.headers_mut().append(name, value);
    }
    Ok(answer)
}

fn parse_number(text: &[u8], radix: u32) -> io::Result<usize> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    usize::from_str_radix(text, radix).map_err(|_| strange("a length that is none"))
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn strange(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
