//! A proxy between real processes that disturbs what passes, as a test wishes.
//!
//! It speaks HTTP/1.1, one request at a time on each connection, and keeps connections alive on both sides.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is passed on, and so is its answer.
    Pass,
    /// It is passed on twice, one after the other; the client gets the second answer.
    Twice,
    /// It is passed on, and once more after so long; the client gets the first answer at once.
    Again(Duration),
    /// It is passed on after so long, whether the client still waits or not.
    Late(Duration),
    /// It is passed on at once, and its answer after so long.
    SlowAnswer(Duration),
    /// It is passed on; instead of the answer, the connection ends.
    DropAnswer,
    /// It is not passed on; the connection ends.
    Cut,
    /// It is not passed on, but answered with this status.
    Refuse(u16),
    /// It is passed on; the client gets this status instead of the answer.
    RefuseAfter(u16),
    /// It is neither passed on nor answered; the connection stays open.
    Swallow,
}

/// A request as a rule sees it.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    /// Without the query.
    pub(crate) path: &'a str,
    /// What comes after the question mark, as it was sent.
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
    head: &'a str,
    /// How many requests to the same path came before.
    pub(crate) before: usize,
}

impl Seen<'_> {
    /// Whether it is one of so many in a hundred, evenly spread among those to its path.
    pub(crate) fn is_among(&self, percent: usize) -> bool {
        (self.before + 1) * percent / 100 > self.before * percent / 100
    }

    /// The value of a header, if it has it just once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = headers.filter(|(own, _)| own.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// Whether it is a put, or a transaction with one, of `key`.
    pub(crate) fn puts(&self, key: &str) -> bool {
        let body: serde_json::Value = serde_json::from_slice(self.body).unwrap_or_default();
        let puts = body
            .as_array()
            .map_or(std::slice::from_ref(&body), |puts| puts);
        self.method == "POST" && puts.iter().any(|put| put["key"] == key)
    }
}

type Rule = Box<dyn FnMut(&Seen<'_>) -> Fate + Send>;

/// A proxy on a port of its own. When it is dropped, so are its connections.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    /// A change, or the end of this, ends all connections.
    cut: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    upstream: SocketAddr,
    rule: Rule,
    requests: BTreeMap<String, usize>,
    disturbed: usize,
}

impl Proxy {
    /// Passes everything on to `upstream`, until a rule is set.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                upstream,
                rule: Box::new(|_| Fate::Pass),
                requests: BTreeMap::new(),
                disturbed: 0,
            }),
        });
        let (cut, cutting) = watch::channel(());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), cutting));
        Self {
            address,
            shared,
            cut,
            accepting,
        }
    }

    /// From now on, `rule` decides what becomes of each request.
    pub(crate) fn rule(&self, rule: impl FnMut(&Seen<'_>) -> Fate + Send + 'static) {
        self.shared.lock().rule = Box::new(rule);
    }

    /// From now on, everything passes.
    pub(crate) fn heal(&self) {
        self.rule(|_| Fate::Pass);
    }

    /// From now on, connections go to `upstream`.
    pub(crate) fn forward_to(&self, upstream: SocketAddr) {
        self.shared.lock().upstream = upstream;
        self.cut();
    }

    /// Ends all connections, whatever is under way on them.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(());
    }

    /// How many requests to `path` have come.
    pub(crate) fn requests(&self, path: &str) -> usize {
        self.shared.lock().requests.get(path).copied().unwrap_or(0)
    }

    /// How many requests have come.
    pub(crate) fn all_requests(&self) -> usize {
        self.shared.lock().requests.values().sum()
    }

    /// How many requests have not simply passed.
    pub(crate) fn disturbed(&self) -> usize {
        self.shared.lock().disturbed
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A rule that panicked has failed its test; the others' counts stay what they are.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upstream(&self) -> SocketAddr {
        self.lock().upstream
    }

    /// Counts a request, and decides what becomes of it.
    fn decide(&self, request: &Message) -> io::Result<Fate> {
        let mut words = request.first_line().split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(strange("a request without a path"));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut state = self.lock();
        let count = state.requests.entry(path.to_owned()).or_default();
        let before = *count;
        *count += 1;
        let fate = (state.rule)(&Seen {
            method,
            path,
            query,
            body: request.body(),
            head: request.head(),
            before,
        });
        state.disturbed += usize::from(fate != Fate::Pass);
        Ok(fate)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, cutting: watch::Receiver<()>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, mut cutting) = (Arc::clone(&shared), cutting.clone());
        cutting.mark_unchanged();
        tokio::spawn(async move {
            tokio::select! {
                // However it ends: the client is told by its connection.
                _ = serve(Half::new(stream), &shared) => {}
                _ = cutting.changed() => {}
            }
        });
    }
}

/// Serves a client until its connection ends.
async fn serve(mut client: Half, shared: &Shared) -> io::Result<()> {
    let mut upstream = None;
    while let Some(request) = client.next().await? {
        let fate = shared.decide(&request)?;
        if let Fate::Late(delay) = fate {
            sleep(delay).await;
        }
        match fate {
            Fate::Cut => return Ok(()),
            Fate::Swallow => {
                while client.receive().await? > 0 {}
                return Ok(());
            }
            Fate::Refuse(status) => {
                client.write(&refusal(status)).await?;
                continue;
            }
            Fate::Twice => {
                pass(&mut upstream, &request, shared).await?;
            }
            _ => {}
        }
        let answer = pass(&mut upstream, &request, shared).await?;
        match fate {
            Fate::DropAnswer => return Ok(()),
            Fate::RefuseAfter(status) => {
                client.write(&refusal(status)).await?;
                continue;
            }
            Fate::SlowAnswer(delay) => sleep(delay).await,
            _ => {}
        }
        client.write(&answer.bytes).await?;
        if let Fate::Again(delay) = fate {
            let address = shared.upstream();
            tokio::spawn(async move {
                sleep(delay).await;
                let mut upstream = Half::new(TcpStream::connect(address).await?);
                upstream.exchange(&request).await
            });
        }
    }
    Ok(())
}

fn refusal(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// Passes `request` on, and waits for its answer.
async fn pass(
    upstream: &mut Option<Half>,
    request: &Message,
    shared: &Shared,
) -> io::Result<Message> {
    let connection = match upstream {
        Some(open) => open,
        None => upstream.insert(Half::new(TcpStream::connect(shared.upstream()).await?)),
    };
    let answer = connection.exchange(request).await?;
    if answer.head().contains("\r\nconnection: close") {
        *upstream = None;
    }
    Ok(answer)
}

/// A request or an answer, as it came.
struct Message {
    bytes: Vec<u8>,
    /// Where its body begins.
    body_at: usize,
}

impl Message {
    fn head(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.body_at]).unwrap_or_default()
    }

    fn first_line(&self) -> &str {
        self.head().lines().next().unwrap_or_default()
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.body_at..]
    }
}

/// A connection on either side of the proxy.
struct Half {
    stream: TcpStream,
    /// What was received and not yet read.
    received: Vec<u8>,
}

impl Half {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("TCP has this option");
        Self {
            stream,
            received: Vec::new(),
        }
    }

    async fn exchange(&mut self, request: &Message) -> io::Result<Message> {
        self.write(&request.bytes).await?;
        let answer = self.next().await?;
        answer.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// The next message; `None` where the connection ends instead.
    async fn next(&mut self) -> io::Result<Option<Message>> {
        let body_at = loop {
            let end = self.received.windows(4).position(|end| end == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None if self.receive().await? == 0 => return Ok(None),
                None => {}
            }
        };
        let end = loop {
            match body_end(&self.received, body_at)? {
                Some(end) => break end,
                None if self.receive().await? == 0 => return Ok(None),
                None => {}
            }
        };
        let bytes = self.received.drain(..end).collect();
        Ok(Some(Message { bytes, body_at }))
    }

    async fn receive(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.received).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }
}

/// Where the body of the message `received` ends, as its head tells, if it is there; a head that tells nothing means
/// that there is none.
fn body_end(received: &[u8], body_at: usize) -> io::Result<Option<usize>> {
    let head =
        std::str::from_utf8(&received[..body_at]).map_err(|_| strange("a head that is no text"))?;
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return end_of_chunks(received, body_at);
        }
        if name.eq_ignore_ascii_case("content-length") {
            let length: usize = value
                .trim()
                .parse()
                .map_err(|_| strange("a length that is none"))?;
            return Ok(Some(body_at + length).filter(|end| *end <= received.len()));
        }
    }
    Ok(Some(body_at))
}

/// Where the chunks end that begin at `at`, if all of them are there.
fn end_of_chunks(received: &[u8], mut at: usize) -> io::Result<Option<usize>> {
    loop {
        let Some(line) = received
            .get(at..)
            .and_then(|rest| rest.windows(2).position(|end| end == b"\r\n"))
        else {
            return Ok(None);
        };
        let length = std::str::from_utf8(&received[at..at + line]).ok();
        let length = length.and_then(|length| usize::from_str_radix(length, 16).ok());
        let length = length.ok_or_else(|| strange("a chunk without a length"))?;
        at += line + 2 + length + 2;
        match (length, at <= received.len()) {
            (0, true) => return Ok(Some(at)),
            (_, true) => {}
            (_, false) => return Ok(None),
        }
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
