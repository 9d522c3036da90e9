//! A real process that is started, watched, stopped and killed by a test, and never outlives it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use tokio::time::{Instant, sleep};

pub(crate) use rustix::process::Signal;

/// Far longer than any process here takes to start, to say something, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process, with what it has written to its log on stderr.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    log: String,
    output: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts `program` with `arguments` and `environment`, and nothing of this process's own
    /// environment.
    pub(crate) fn start(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, lines) = mpsc::channel();
        let log = child.stderr.take().expect("stderr is piped");
        thread::spawn(move || {
            // As long as somebody may want it, so that the process never waits for somebody to read its log.
            let mut lines = BufReader::new(log).lines().map_while(Result::ok);
            while let Some(line) = lines.next()
                && sender.send(line).is_ok()
            {}
        });
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let output = thread::spawn(move || {
            let mut output = String::new();
            let _ = stdout.read_to_string(&mut output);
            output
        });
        Self {
            child,
            lines,
            log: String::new(),
            output: Some(output),
        }
    }

    /// The address that the process listens on, when its log tells it as `address=…`.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.wait_for("address=");
        let word = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("address="));
        word.and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    /// Where it serves its operators, as the line that told its address says too.
    pub(crate) fn operators(&self) -> Option<SocketAddr> {
        operators_in(&self.log)
    }

    /// Waits for a line of the log that contains `part`.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{part:?} was not logged; the log is:\n{}", self.log);
            };
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Reads one more line of its log at the most: then it has nowhere to write to.
    pub(crate) fn close_log(&mut self) {
        self.lines = mpsc::channel().1;
    }

    /// Waits until it has `file` open.
    pub(crate) async fn opens(&self, file: &Path) {
        let end = Instant::now() + PATIENCE;
        let files = format!("/proc/{}/fd", self.child.id());
        let is_open = || {
            let mut open = fs::read_dir(&files).into_iter().flatten().flatten();
            open.any(|open| fs::read_link(open.path()).is_ok_and(|open| open == file))
        };
        while !is_open() {
            assert!(Instant::now() < end, "{} was not opened", file.display());
            sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.child);
        kill_process(process, signal).expect("the process takes signals");
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process has ended");
    }

    /// How much memory of the machine it occupies, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: Option<u64> =
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        1024 * kilobytes.unwrap_or_else(|| panic!("no memory in {status}"))
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the process is ours") {
                return status;
            }
            assert!(
                Instant::now() < end,
                "the process did not end; {}",
                self.log()
            );
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// What it has written to stderr: all of it, once it has ended.
    pub(crate) fn log(&mut self) -> &str {
        let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
        let next = |lines: &Receiver<String>| match ended {
            true => lines.recv().ok(),
            false => lines.try_recv().ok(),
        };
        while let Some(line) = next(&self.lines) {
            self.log.push_str(&line);
            self.log.push('\n');
        }
        &self.log
    }

    /// Prints the lines of its log so far that contain `part`.
    #[expect(clippy::print_stdout, reason = "they explain the figures of a test")]
    pub(crate) fn report(&mut self, part: &str) {
        for line in self.log().lines().filter(|line| line.contains(part)) {
            println!("{line}");
        }
    }

    /// What it has written to stdout, all of it. Waits until it is closed.
    pub(crate) fn output(&mut self) -> String {
        let output = self.output.take().expect("the output is read once");
        output.join().expect("reading does not panic")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a process serves its operators, as its log tells.
pub(crate) fn operators_in(log: &str) -> Option<SocketAddr> {
    let mut words = log.split_whitespace();
    words.find_map(|word| word.strip_prefix("ops=")?.parse().ok())
}
