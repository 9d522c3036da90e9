//! The rows of the table: what is asked of whom.

use crate::subject::{Storage, Subject};

/// One row: a load, and who bears it.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// What the row is called in the table and to `BENCH_ONLY`.
    pub(crate) name: &'static str,
    /// Who is measured.
    pub(crate) subject: Subject,
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
    /// Reading keys of a kvstore; the bare server answers as many bytes that are always the same.
    Gets {
        /// How many keys.
        keys: u32,
    },
    /// Writing keys of a kvstore; the bare server reads the same JSON and forgets it.
    Puts {
        /// How many keys.
        keys: u32,
    },
}

/// All rows.
pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "transfer, in memory",
        subject: Subject::Splitdim(Storage::Memory),
        load: Load::Transfers { people: 1000 },
        connections: 64,
    },
    Scenario {
        name: "transfer, on disk",
        subject: Subject::Splitdim(Storage::Disk),
        load: Load::Transfers { people: 1000 },
        connections: 64,
    },
    Scenario {
        name: "accounts of 1,000 people",
        subject: Subject::Splitdim(Storage::Memory),
        load: Load::Read {
            path: "/api/accounts",
            people: 1000,
        },
        connections: 64,
    },
    Scenario {
        name: "clear of 1,000 people",
        subject: Subject::Splitdim(Storage::Memory),
        load: Load::Read {
            path: "/api/clear",
            people: 1000,
        },
        connections: 64,
    },
    Scenario {
        name: "transfer, transactionalkvstore, kvstore on disk",
        subject: Subject::SplitdimOnKvstore("transactionalkvstore"),
        load: Load::Transfers { people: 1000 },
        connections: 64,
    },
    Scenario {
        name: "transfer, resilientkvstore, kvstore on disk",
        subject: Subject::SplitdimOnKvstore("resilientkvstore"),
        load: Load::Transfers { people: 1000 },
        connections: 64,
    },
    Scenario {
        name: "kvstore get",
        subject: Subject::Kvstore(Storage::Disk),
        load: Load::Gets { keys: 1000 },
        connections: 64,
    },
    Scenario {
        name: "kvstore put, on disk",
        subject: Subject::Kvstore(Storage::Disk),
        load: Load::Puts { keys: 1000 },
        connections: 64,
    },
];
