use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use resilient::quarantine::Handle;
use resilient::retry::TokenBucket;

use super::histogram::{DURATIONS, SIZES};
use super::{Histogram, write};

/// What becomes of transfers, and how the ledger is.
#[derive(Debug)]
pub struct LedgerMetrics {
    /// It and the budget are looked at when the text is written.
    quarantine: OnceLock<Handle>,
    budget: OnceLock<Arc<TokenBucket>>,
    outcomes: [AtomicU64; TransferOutcome::ALL.len()],
    tries: AtomicU64,
    batches: Histogram,
    open: AtomicU64,
    oldest_open_ms: AtomicU64,
    settled: Histogram,
    settled_minimally: AtomicBool,
}

/// What the client of a transfer was told, or would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferOutcome {
    /// It was made.
    Done,
    /// It was not made, and cannot be: a balance would leave its range.
    Refused,
    /// It was not made, since the ledger could not be written.
    NotApplied,
    /// It was not made, since too many were under way.
    Overloaded,
    /// It may have been made.
    Unknown,
    /// It was not made, since the ledger is in quarantine.
    Quarantined,
}

impl TransferOutcome {
    const ALL: [Self; 6] = [
        Self::Done,
        Self::Refused,
        Self::NotApplied,
        Self::Overloaded,
        Self::Unknown,
        Self::Quarantined,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::NotApplied => "not_applied",
            Self::Overloaded => "overloaded",
            Self::Unknown => "unknown",
            Self::Quarantined => "quarantined",
        }
    }
}

impl LedgerMetrics {
    /// Tells of what suspends transfers. There is one such thing.
    pub fn watch_quarantine(&self, quarantine: &Handle) {
        self.quarantine.get_or_init(|| quarantine.clone());
    }

    /// Tells of what retries are paid from. There is one such thing.
    pub fn watch_budget(&self, budget: &Arc<TokenBucket>) {
        self.budget.get_or_init(|| Arc::clone(budget));
    }

    /// Counts a transfer.
    pub fn transfer(&self, outcome: TransferOutcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts attempts at writing something of a transfer.
    pub fn tries(&self, tries: u32) {
        self.tries.fetch_add(tries.into(), Ordering::Relaxed);
    }

    /// Notes that so many transfers were written together.
    pub fn observe_batch(&self, size: usize) {
        self.batches.observe(size as u64);
    }

    /// Notes what a look at the ledger has found: transfers that are open, and since when, as far as
    /// this process has seen, the oldest of them is.
    pub fn saw_open(&self, transfers: usize, oldest: Option<Duration>) {
        let oldest = oldest.unwrap_or_default().as_millis();
        self.open.store(transfers as u64, Ordering::Relaxed);
        // 64 bits of milliseconds last 584 million years.
        self.oldest_open_ms.store(oldest as u64, Ordering::Relaxed);
    }

    /// Notes that it took so long to find the payments that clear all debts, and whether it is certain
    /// that fewer would not do.
    pub fn settled(&self, took: Duration, is_minimal: bool) {
        self.settled.observe_duration(took);
        self.settled_minimally.store(is_minimal, Ordering::Relaxed);
    }

    fn is_quarantined(&self) -> bool {
        let quarantine = self.quarantine.get();
        quarantine.is_some_and(|quarantine| quarantine.reason().is_some())
    }

    /// Retries that are left in the budget; none where there is no budget.
    fn retries_left(&self) -> f64 {
        let left = self.budget.get().map(|budget| budget.left());
        left.unwrap_or_default()
    }
}

impl Default for LedgerMetrics {
    fn default() -> Self {
        Self {
            quarantine: OnceLock::new(),
            budget: OnceLock::new(),
            outcomes: Default::default(),
            tries: AtomicU64::new(0),
            batches: Histogram::new(&SIZES),
            open: AtomicU64::new(0),
            oldest_open_ms: AtomicU64::new(0),
            settled: Histogram::new(&DURATIONS),
            // There is nothing to pay.
            settled_minimally: true.into(),
        }
    }
}

impl Collector for LedgerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let number = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let outcomes = TransferOutcome::ALL.map(|outcome| {
            let labels = [("outcome", outcome.label())];
            (labels, number(&self.outcomes[outcome as usize]))
        });
        write::counters(
            encoder,
            "transfers",
            "Transfers, by what their clients were told",
            outcomes,
        )?;
        write::counter(
            encoder,
            "transfer_tries",
            "Attempts at writing something of a transfer",
            number(&self.tries),
        )?;
        write::gauge(
            encoder,
            "retry_budget",
            "Retries that are left",
            self.retries_left(),
        )?;
        write::histogram(
            encoder,
            "batch_size",
            "How many transfers were written together",
            &self.batches,
        )?;
        write::gauge(
            encoder,
            "open_transfers",
            "Transfers that are neither made nor undone yet, when they were looked for last",
            number(&self.open) as f64,
        )?;
        write::gauge(
            encoder,
            "oldest_open_transfer_seconds",
            "For how long the oldest of them was seen, while the store answered",
            number(&self.oldest_open_ms) as f64 / 1000.0,
        )?;
        write::gauge(
            encoder,
            "quarantined",
            "Whether every transfer is refused, since the ledger is suspect",
            f64::from(u8::from(self.is_quarantined())),
        )?;
        write::histogram(
            encoder,
            "settle_duration_seconds",
            "How long it took to find the payments that clear all debts",
            &self.settled,
        )?;
        write::gauge(
            encoder,
            "settle_minimal",
            "Whether it is certain that fewer payments than those found last would not do",
            f64::from(u8::from(self.settled_minimally.load(Ordering::Relaxed))),
        )
    }
}
