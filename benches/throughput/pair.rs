//! One pair: the bare server and splitdim, measured right after each other.

use std::time::Duration;

use crate::Outcome;
use crate::host::ProcessorTime;
use crate::server::Server;
use crate::usage::{self, Memory, Tick};
use crate::wrk::{Counts, Run};

/// One of the two that are compared.
#[derive(Debug)]
pub(crate) struct Side {
    /// The processes whose time and memory the answers cost; they are stopped in this order.
    pub(crate) servers: Vec<Server>,
    /// What it is asked.
    pub(crate) run: Run,
}

/// One measurement of one side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    /// What wrk saw.
    pub(crate) counts: Counts,
    /// The processor time that its servers spent.
    pub(crate) cpu: Duration,
}

/// Two measurements that may be compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    /// Of the bare server.
    pub(crate) baseline: Measurement,
    /// Of splitdim.
    pub(crate) subject: Measurement,
    /// The part of the processors' time that other machines took meanwhile, 0 to 1.
    pub(crate) stolen: f64,
}

impl Side {
    /// Runs the load for a second that does not count, which opens files and fills caches.
    pub(crate) fn warm_up(&self) -> Outcome<()> {
        self.load(&Run {
            seconds: 1,
            ..self.run.clone()
        })?;
        Ok(())
    }

    /// Runs the load once.
    pub(crate) fn measure(&self, tick: Tick) -> Outcome<Measurement> {
        let before = self.cpu_time(tick)?;
        let counts = self.load(&self.run)?;
        let cpu = self.cpu_time(tick)?.saturating_sub(before);
        Ok(Measurement { counts, cpu })
    }

    /// The memory of its servers.
    pub(crate) fn memory(&self) -> Outcome<Memory> {
        let mut sum = Memory::default();
        for server in &self.servers {
            let memory = usage::memory(server.id())?;
            sum.resident += memory.resident;
            sum.peak += memory.peak;
        }
        Ok(sum)
    }

    /// Stops its servers.
    pub(crate) fn stop(self) -> Outcome<()> {
        self.servers.into_iter().try_for_each(Server::stop)
    }

    /// # Errors
    ///
    /// With the servers' last words, which often say why.
    fn load(&self, run: &Run) -> Outcome<Counts> {
        run.measure()
            .map_err(|error| format!("{error}{}", self.last_words()).into())
    }

    fn cpu_time(&self, tick: Tick) -> Outcome<Duration> {
        self.servers
            .iter()
            .map(|server| tick.cpu_time(server.id()))
            .sum()
    }

    fn last_words(&self) -> String {
        self.servers
            .iter()
            .map(|server| format!("\n--- {}:\n{}", server.address, server.log_tail()))
            .collect()
    }
}

impl Measurement {
    /// Processor time per request, in microseconds.
    pub(crate) fn cpu_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.counts.requests as f64
    }
}

impl Pair {
    /// Measures both, the subject first if `subject_first`: taking turns cancels what drifts.
    pub(crate) fn measure(
        baseline: &Side,
        subject: &Side,
        subject_first: bool,
        tick: Tick,
    ) -> Outcome<Self> {
        let before = ProcessorTime::now()?;
        let (first, second) = if subject_first {
            (subject, baseline)
        } else {
            (baseline, subject)
        };
        let (first, second) = (first.measure(tick)?, second.measure(tick)?);
        let stolen = ProcessorTime::now()?.stolen_since(before);
        let (baseline, subject) = if subject_first {
            (second, first)
        } else {
            (first, second)
        };
        Ok(Self {
            baseline,
            subject,
            stolen,
        })
    }

    /// Requests per second, splitdim's over the bare server's.
    pub(crate) fn ratio(&self) -> f64 {
        self.subject.counts.rate / self.baseline.counts.rate
    }
}
