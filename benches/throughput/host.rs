//! The machine: what it is, and how much of it others took.

use std::fs;
use std::path::Path;

use crate::Outcome;

/// One line about the machine: cores, processor, kernel.
pub(crate) fn description() -> Outcome<String> {
    let cpuinfo = read("/proc/cpuinfo")?;
    let values = |field: &str| -> Vec<&str> {
        cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.trim() == field)
            .map(|(_, value)| value.trim())
            .collect()
    };
    let cores = values("processor").len();
    // Not every architecture names it.
    let models = values("model name");
    let model = models.first().copied().unwrap_or("unnamed processor");
    let kernel = read("/proc/sys/kernel/osrelease")?;
    Ok(format!("{cores} cores, {model}, Linux {}", kernel.trim()))
}

/// The type of the file system that holds `path`: on one that lives in memory a sync costs nothing.
pub(crate) fn file_system(path: &str) -> Outcome<String> {
    let mounts = read("/proc/self/mounts")?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(mounted_at, _)| Path::new(path).starts_with(mounted_at))
        // Of two at the same place the later one is seen, which is also what `max_by_key` prefers.
        .max_by_key(|(mounted_at, _)| mounted_at.len())
        .map(|(_, kind)| kind.to_owned())
        .ok_or_else(|| format!("no mounted file system holds {path}").into())
}

/// The time of all processors since the start of the machine, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessorTime {
    /// In which the hypervisor ran another machine although we had work.
    stolen: u64,
    /// Altogether.
    all: u64,
}

impl ProcessorTime {
    /// Up to now.
    pub(crate) fn now() -> Outcome<Self> {
        let stat = read("/proc/stat")?;
        // user nice system idle iowait irq softirq steal; the guests' time after it is in the user's already.
        let fields: Vec<u64> = stat
            .lines()
            .find_map(|line| line.strip_prefix("cpu "))
            .ok_or("/proc/stat has no line for all processors")?
            .split_whitespace()
            .take(8)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            stolen: *fields.get(7).ok_or("/proc/stat does not count steal")?,
            all: fields.iter().sum(),
        })
    }

    /// Which part of the time since then was stolen, 0 to 1.
    pub(crate) fn stolen_since(self, then: Self) -> f64 {
        let all = self.all.saturating_sub(then.all).max(1);
        self.stolen.saturating_sub(then.stolen) as f64 / all as f64
    }
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}").into())
}
