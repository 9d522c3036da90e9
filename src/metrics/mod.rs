//! What the operators of a process are told: figures in the text form of OpenMetrics, which
//! Prometheus reads.
//!
//! Whoever counts has a handle, resolved once: to count is to add to an atomic number, without a
//! lock, an allocation or a look at labels. What costs more to know (memory, the age of things) is
//! looked at when somebody asks for the text. Never is a person's name a label.

mod histogram;
mod ledger;
mod process;
mod requests;
mod store;
mod write;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use histogram::Histogram;
pub use ledger::{LedgerMetrics, TransferOutcome};
pub use requests::{RequestMetrics, RequestTable};
pub use store::{CommitMetrics, Conflicts};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The figures of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    program: &'static str,
}

impl Metrics {
    /// The figures of `program`: its version, and those of the process, to begin with. All names but those of the
    /// process begin with `program`.
    #[must_use]
    pub fn new(program: &'static str) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            program,
        };
        metrics
            .registry
            .register_collector(Box::new(process::Process));
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        metrics
            .own()
            .register("build", "What was built, and is running", version);
        metrics
    }

    /// Counts the requests to a service.
    pub fn requests(&mut self) -> Arc<RequestMetrics> {
        self.collected()
    }

    /// Measures the commits of a store in this process.
    pub fn commits(&mut self) -> Arc<CommitMetrics> {
        self.collected()
    }

    /// Counts the writes that a store has refused since others came first.
    pub fn conflicts(&mut self) -> Conflicts {
        let conflicts = Conflicts::default();
        conflicts.register(self.own());
        conflicts
    }

    /// Tells of a ledger.
    pub fn ledger(&mut self, ledger: &Arc<LedgerMetrics>) {
        self.own().register_collector(Box::new(Arc::clone(ledger)));
    }

    /// All figures as they are now.
    ///
    /// # Errors
    ///
    /// None is known.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Figures that begin now, and are looked at when the text is written.
    fn collected<C: Collector + Default>(&mut self) -> Arc<C> {
        let figures = Arc::default();
        self.own()
            .register_collector(Box::new(Arc::clone(&figures)));
        figures
    }

    fn own(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix(self.program)
    }
}
