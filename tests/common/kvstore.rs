//! The real `kvstore`, on a port of its own, with a data directory of its own.

use std::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use splitdim::kv::{Kv, KvClient, KvService};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::exact::Balances;
use super::http::{Connection, get};
use super::process::{Process, Signal};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kvstore");

/// A running `kvstore`. It is killed, and its data are gone, when this is dropped.
#[derive(Debug)]
pub(crate) struct Kvstore {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    arguments: Vec<String>,
    data: TempDir,
}

/// What a list has for a key.
#[derive(serde::Deserialize)]
struct Stored {
    key: String,
    value: String,
}

impl Kvstore {
    /// One that keeps everything in memory.
    pub(crate) fn in_memory(arguments: &[&str]) -> Self {
        Self::start(&[&["--in-memory"], arguments].concat())
    }

    /// One that keeps everything on disk.
    pub(crate) fn on_disk(arguments: &[&str]) -> Self {
        Self::start(arguments)
    }

    /// One over what is in `data` already.
    pub(crate) fn over(data: TempDir) -> Self {
        Self::start_over(data, &[])
    }

    fn start(arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("there is room for a directory");
        Self::start_over(data, arguments)
    }

    fn start_over(data: TempDir, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = ["--data", text(data.path())]
            .iter()
            .chain(arguments)
            .map(ToString::to_string)
            .collect();
        let (process, address) = run(&arguments, "127.0.0.1:0");
        Self {
            process,
            address,
            arguments,
            data,
        }
    }

    /// Starts it again, on another port, with the same data. It must have ended.
    pub(crate) fn restart(&mut self) {
        (self.process, self.address) = run(&self.arguments, "127.0.0.1:0");
    }

    /// The same, on the same port.
    pub(crate) fn restart_in_place(&mut self) {
        (self.process, self.address) = run(&self.arguments, &self.address.to_string());
    }

    /// Tells it to stop, and asserts that it does so well.
    pub(crate) async fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.ended().await;
        assert!(status.success(), "{status}: {}", self.process.log());
    }

    pub(crate) async fn connect(&self) -> Connection {
        let connection = Connection::open(self.address).await;
        connection.expect("kvstore accepts connections")
    }

    /// A client of it, as splitdim has one.
    pub(crate) fn client(&self) -> Kv {
        client(self.address)
    }

    /// Everybody's balance, if each is a plain integer in the store: nothing is open. Else the keys
    /// and values that are not.
    pub(crate) async fn at_rest(&self) -> Result<Balances, Vec<String>> {
        let answer = self.connect().await.call(&get("/api/list")).await;
        let answer = answer.expect("kvstore answers");
        assert_eq!(answer.status(), 200);
        let entries: Vec<Stored> = serde_json::from_slice(answer.body()).expect("lists are JSON");
        let entries = entries.iter();
        Balances::at_rest(entries.map(|Stored { key, value }| (&**key, &**value)))
    }

    /// Waits until everything is at rest, but not longer than `limit`.
    #[track_caller]
    pub(crate) fn comes_to_rest(
        &self,
        limit: Duration,
    ) -> impl Future<Output = (Balances, Duration)> {
        let begun = Instant::now();
        let caller = Location::caller();
        async move {
            loop {
                match self.at_rest().await {
                    Ok(balances) => return (balances, begun.elapsed()),
                    Err(open) if begun.elapsed() > limit => {
                        panic!("{caller}: open after {limit:?}: {open:#?}")
                    }
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            }
        }
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Gives its data directory away. It must have ended.
    pub(crate) fn into_data(self) -> TempDir {
        self.data
    }
}

/// A client of the store at `address`, as splitdim has one.
pub(crate) fn client(address: SocketAddr) -> Kv {
    Kv::new(service(address))
}

/// The service that such a client is.
pub(crate) fn service(address: SocketAddr) -> KvService {
    let client = KvClient::new(&address.to_string(), KvClient::TIMEOUT);
    KvService::new(client.expect("a client can be made"))
}

/// Runs a command of `kvstore` to its end.
pub(crate) fn command(arguments: &[&str]) -> Output {
    let command = Command::new(PROGRAM).args(arguments).env_clear().output();
    command.expect("the program starts")
}

/// `path` as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

fn run(arguments: &[String], listen: &str) -> (Process, SocketAddr) {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let arguments = [&["--listen", listen], &arguments[..]].concat();
    let mut process = Process::start(PROGRAM, &arguments, &[]);
    let address = process.address();
    (process, address)
}
