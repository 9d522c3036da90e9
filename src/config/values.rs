//! Reads the value of a setting, or says what is wrong with it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use super::Mistakes;
use crate::serve::Limits;
use crate::telemetry::LogFormat;

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

/// Whether something was asked for in whatever words, and not refused.
pub(super) fn is_set(text: &str) -> bool {
    boolean(text).unwrap_or(true)
}

/// `host:port`, as both binding and connecting take it.
pub(super) fn address(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err(format!(
            "{text:?} is no address; write HOST:PORT, as in 127.0.0.1:8080"
        )),
    }
}

/// The address of a server.
pub(super) fn server(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((_, port)) if port.parse() == Ok(0_u16) => Err(format!(
            "{text:?} has port 0, on which nobody listens; write the port of the server"
        )),
        _ => address(text),
    }
}

/// Where to listen for clients, and where for operators: nowhere, where it is not set or empty.
pub(super) fn listeners(
    mistakes: &mut Mistakes,
    listen: &str,
    ops_listen: Option<String>,
) -> Option<(String, Option<String>)> {
    let listen = mistakes.note("--listen", address(listen));
    let ops_listen = ops_listen.filter(|text| !text.is_empty());
    let ops_listen = ops_listen.map(|text| {
        let address = address(&text)?;
        match listen.as_deref() == Some(&*address) && !address.ends_with(":0") {
            true => Err(format!(
                "{text:?} is where --listen is; operators need a port of their own, or none"
            )),
            false => Ok(address),
        }
    });
    let ops_listen = mistakes.note("--ops-listen", ops_listen.transpose());
    Some((listen?, ops_listen?))
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("{other:?} is no log format; use text or json")),
    }
}

fn is_host(text: &str) -> bool {
    let bracketed = text.starts_with('[') && text.ends_with(']');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    bracketed || (!text.is_empty() && text.chars().all(plain))
}

/// Seconds, or a number with a unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    };
    match parsed {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) => Err(format!("{text:?} is longer than a year")),
        Err(_) => Err(format!(
            "{text:?} is no duration; write seconds, or a unit, as in 500ms, 60s, 10m"
        )),
    }
}

/// So that no sum of a few of them overflows: a year, as humantime understands `1y`.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60 + 6 * 60 * 60);

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|duration| match duration {
        Duration::ZERO => Err("it must be more than 0".into()),
        positive => Ok(positive),
    })
}

/// A duration that is not shorter than `least`.
pub(super) fn long_duration(text: &str, least: Duration) -> Result<Duration, String> {
    match duration(text)? {
        duration if duration >= least => Ok(duration),
        _ => Err(format!(
            "{text:?} is less than {}",
            humantime::format_duration(least)
        )),
    }
}

pub(super) fn number<N>(text: &str, range: RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + Display,
{
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!(
            "{text:?} is no number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// The number of threads that `wish` means: 0 leaves it to us, and is as many as there are cores.
pub(super) fn threads(wish: usize) -> usize {
    match wish {
        0 => thread::available_parallelism().map_or(1, usize::from),
        wish => wish,
    }
}

/// An answer may take so long. Nothing is written until then, and whoever waits must not be cut off as idle.
const SHORTEST_IDLE: Duration = Duration::from_secs(5);

/// What clients are allowed, as both binaries take it.
pub(super) fn limits(
    mistakes: &mut Mistakes,
    grace_period: &str,
    idle_timeout: &str,
    max_connections: &str,
) -> Option<Limits> {
    let grace_period = mistakes.note("--grace-period", duration(grace_period));
    let idle_timeout = mistakes.note("--idle-timeout", long_duration(idle_timeout, SHORTEST_IDLE));
    let max_connections =
        mistakes.note("--max-connections", number(max_connections, 1..=1_000_000));
    Some(Limits {
        grace_period: grace_period?,
        idle_timeout: idle_timeout?,
        max_connections: max_connections?,
    })
}
