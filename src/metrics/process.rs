use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::write;

/// Ticks of a second, in which Linux tells times to everybody (`USER_HZ`).
const TICKS: f64 = 100.0;

/// What Linux knows of this process. Elsewhere nothing is told.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        if let Some(bytes) = resident() {
            let help = "Memory of the machine that the process occupies";
            write::gauge(encoder, "process_resident_memory_bytes", help, bytes)?;
        }
        if let Some(files) = open_files() {
            let help = "Files and connections that are open";
            write::gauge(encoder, "process_open_fds", help, files)?;
        }
        if let Ok((limit, _)) = rlimit::Resource::NOFILE.get() {
            let help = "Files and connections that may be open";
            write::gauge(encoder, "process_max_fds", help, limit as f64)?;
        }
        let Some(times) = Times::read() else {
            return Ok(());
        };
        let help = "When the process was started, in seconds since 1970";
        write::gauge(encoder, "process_start_time_seconds", help, times.started)?;
        let help = "Time that processors have spent on the process";
        let kind = MetricType::Counter;
        let mut encoder = encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?;
        encoder.encode_counter::<NoLabelSet, _, f64>(&times.used, None)
    }
}

fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kilobytes * 1024) as f64)
}

fn open_files() -> Option<f64> {
    // One of them is what lists them.
    let files = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(files.saturating_sub(1) as f64)
}

/// In seconds.
struct Times {
    used: f64,
    /// Since 1970.
    started: f64,
}

impl Times {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program stands in brackets, and may have anything in it.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        // Fields 14, 15 and 22 of proc(5), where the first one after the name is 3.
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let machine = fs::read_to_string("/proc/stat").ok()?;
        let booted = machine.lines().find_map(|line| line.strip_prefix("btime "));
        let booted: f64 = booted?.trim().parse().ok()?;
        Some(Self {
            used: (ticks(14)? + ticks(15)?) / TICKS,
            started: booted + ticks(22)? / TICKS,
        })
    }
}
