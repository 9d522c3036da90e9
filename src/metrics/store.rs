use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::histogram::DURATIONS;
use super::{Histogram, write};

/// How long a store in this process takes to make things durable.
#[derive(Debug)]
pub struct CommitMetrics {
    commits: Histogram,
    syncs: Histogram,
}

impl CommitMetrics {
    /// Notes that a commit, with its syncs, took so long.
    pub fn committed(&self, took: Duration) {
        self.commits.observe_duration(took);
    }

    /// Notes that a sync of the file took so long.
    pub fn synced(&self, took: Duration) {
        self.syncs.observe_duration(took);
    }
}

impl Default for CommitMetrics {
    fn default() -> Self {
        Self {
            commits: Histogram::new(&DURATIONS),
            syncs: Histogram::new(&DURATIONS),
        }
    }
}

impl Collector for CommitMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        write::histogram(
            &mut encoder,
            "commit_duration_seconds",
            "How long one commit of the store in this process took, with its syncs",
            &self.commits,
        )?;
        write::histogram(
            &mut encoder,
            "fsync_duration_seconds",
            "How long one sync of the file of the store took",
            &self.syncs,
        )
    }
}

/// Writes that a store has refused since others came first. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Conflicts(Counter);

impl Conflicts {
    /// Counts one.
    pub fn count(&self) {
        self.0.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "store_conflicts",
            "Writes that the store refused since others came first",
            self.0.clone(),
        );
    }
}
