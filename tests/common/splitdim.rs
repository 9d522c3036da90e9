//! The real `splitdim`, on a port of its own, with a data directory of its own.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::exact::Balances;
use super::figures::Figures;
use super::http::{Connection, get};
use super::process::{Process, Signal};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_splitdim");

/// A running `splitdim`. It is killed, and its data are gone, when this is dropped.
#[derive(Debug)]
pub(crate) struct Splitdim {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    arguments: Vec<String>,
    data: TempDir,
}

impl Splitdim {
    /// One whose ledger is in memory.
    pub(crate) fn in_memory(arguments: &[&str]) -> Self {
        Self::start(&[&["--in-memory"], arguments].concat())
    }

    /// One whose ledger is on disk.
    pub(crate) fn on_disk(arguments: &[&str]) -> Self {
        Self::start(arguments)
    }

    /// One whose ledger is in the store at `store`, worked on as `mode` says.
    pub(crate) fn replica(mode: &str, store: SocketAddr, arguments: &[&str]) -> Self {
        let store = store.to_string();
        Self::start(&[&["--mode", mode, "--addr", &store], arguments].concat())
    }

    fn start(arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("there is room for a directory");
        let directory = data.path().to_str().expect("the path is text");
        let arguments: Vec<_> = ["--listen", "127.0.0.1:0", "--data", directory]
            .iter()
            .chain(arguments)
            .map(ToString::to_string)
            .collect();
        let (process, address) = run(&arguments);
        Self {
            process,
            address,
            arguments,
            data,
        }
    }

    /// Starts it again, on another port, with the same data. It must have ended.
    pub(crate) fn restart(&mut self) {
        (self.process, self.address) = run(&self.arguments);
    }

    /// Tells it to stop, and asserts that it does so well.
    pub(crate) async fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.ended().await;
        assert!(status.success(), "{status}: {}", self.process.log());
    }

    pub(crate) async fn connect(&self) -> Connection {
        let connection = Connection::open(self.address).await;
        connection.expect("splitdim accepts connections")
    }

    /// What it tells its operators. It must serve them.
    pub(crate) async fn figures(&self) -> Figures {
        let operators = self.process.operators();
        Figures::of(operators.expect("it serves operators")).await
    }

    /// Everybody's balance, at one moment.
    pub(crate) async fn balances(&self) -> Balances {
        let answer = self.connect().await.call(&get("/api/accounts")).await;
        let answer = answer.expect("splitdim answers");
        assert_eq!(answer.status(), 200);
        Balances::from_json(answer.body())
    }

    pub(crate) fn data(&self) -> &std::path::Path {
        self.data.path()
    }
}

fn run(arguments: &[String]) -> (Process, SocketAddr) {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut process = Process::start(PROGRAM, &arguments, &[]);
    let address = process.address();
    (process, address)
}
