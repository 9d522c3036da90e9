//! What a process has used, as `/proc` says.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::Outcome;

/// The memory of one process, or of several together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident now, in KiB.
    pub(crate) resident: u64,
    /// The most that was ever resident, in KiB.
    pub(crate) peak: u64,
}

/// Reads the memory of the process `id` from `/proc/ID/status`.
pub(crate) fn memory(id: u32) -> Outcome<Memory> {
    let path = format!("/proc/{id}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let kibibytes = |field: &str| -> Outcome<u64> {
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|value| value.trim().strip_suffix(" kB"))
            .ok_or_else(|| format!("{path} has no {field}"))?;
        Ok(value.parse()?)
    };
    Ok(Memory {
        resident: kibibytes("VmRSS")?,
        peak: kibibytes("VmHWM")?,
    })
}

/// The length of the kernel's clock tick, in which `/proc` counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tick(Duration);

impl Tick {
    /// Asks the system.
    pub(crate) fn of_this_system() -> Outcome<Self> {
        let output = Command::new("getconf")
            .arg("CLK_TCK")
            .output()
            .map_err(|error| format!("cannot run getconf CLK_TCK: {error}"))?;
        let per_second: u32 = String::from_utf8(output.stdout)?.trim().parse()?;
        Duration::from_secs(1)
            .checked_div(per_second)
            .map(Self)
            .ok_or_else(|| "getconf CLK_TCK says 0".into())
    }

    /// The time that the process `id` has spent on a processor, its own and the kernel's for it.
    pub(crate) fn cpu_time(self, id: u32) -> Outcome<Duration> {
        let path = format!("/proc/{id}/stat");
        let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The second field is the name in parentheses, which may hold anything; the third comes after the last.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = after_name.split_whitespace().skip(14 - 3);
        let (Some(user), Some(system)) = (fields.next(), fields.next()) else {
            return Err(format!("{path} is cut off").into());
        };
        let ticks = user.parse::<u32>()? + system.parse::<u32>()?;
        Ok(self.0 * ticks)
    }
}
