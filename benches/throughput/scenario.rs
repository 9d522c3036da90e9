//! The rows of the table: what is asked of whom.

use crate::subject::Storage;

/// One row: a load, and the splitdim that bears it.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// What the row is called in the table and to `BENCH_ONLY`.
    pub(crate) name: &'static str,
    /// Where splitdim keeps the ledger.
    pub(crate) storage: Storage,
    /// What is asked.
    pub(crate) load: Load,
    /// How many connections ask at the same time.
    pub(crate) connections: u32,
}

/// What the connections ask, all of them the same.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// Transfers between people chosen at random; the bare server reads the same JSON and forgets it.
    Transfers {
        /// How many people; two are a hot pair.
        people: u32,
    },
    /// Reading one path of a ledger at rest; the bare server answers as many bytes that are always the same.
    Read {
        /// The path of splitdim's answer.
        path: &'static str,
        /// How many people are in the ledger.
        people: u32,
    },
}

/// All rows.
pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "transfer, in memory",
        storage: Storage::Memory,
        load: Load::Transfers { people: 1000 },
        connections: 64,
    },
    Scenario {
        name: "transfer, on disk",
        storage: Storage::Disk,
        load: Load::Transfers { people: 1000 },
        connections: 64,
    },
    Scenario {
        name: "accounts of 1,000 people",
        storage: Storage::Memory,
        load: Load::Read {
            path: "/api/accounts",
            people: 1000,
        },
        connections: 64,
    },
    Scenario {
        name: "clear of 1,000 people",
        storage: Storage::Memory,
        load: Load::Read {
            path: "/api/clear",
            people: 1000,
        },
        connections: 64,
    },
];
