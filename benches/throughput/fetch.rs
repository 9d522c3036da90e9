//! One plain GET, for looking at an answer outside the measurements.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Outcome;

/// For connecting, and for each wait for more of the answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Far more than any answer that is expected.
const MAX_ANSWER: u64 = 256 << 20;

/// The body of the answer to `GET path`.
///
/// # Errors
///
/// No answer, or another one than 200.
pub(crate) fn get(address: SocketAddr, path: &str) -> Outcome<Vec<u8>> {
    exchange(address, path).map_err(|error| format!("GET {path}: {error}").into())
}

fn exchange(address: SocketAddr, path: &str) -> Outcome<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    // In HTTP/1.0 nothing is chunked: the body is what comes until the end.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;

    let end_of_head = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .ok_or("the answer has no end of its head")?;
    let head = String::from_utf8_lossy(&answer[..end_of_head]);
    let status_line = head.lines().next().unwrap_or_default();
    if status_line.split(' ').nth(1) != Some("200") {
        return Err(format!("the answer is {status_line:?}").into());
    }
    Ok(answer.split_off(end_of_head + 4))
}
