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

/// The two modes that ask a store.
pub(crate) const TRANSACTIONS: Subject = Subject::SplitdimOnKvstore("transactionalkvstore");
const SINGLE_PUTS: Subject = Subject::SplitdimOnKvstore("resilientkvstore");

pub(crate) const MEMORY: Subject = Subject::Splitdim(Storage::Memory);
pub(crate) const DISK: Subject = Subject::Splitdim(Storage::Disk);

/// All rows.
pub(crate) const ROWS: &[Scenario] = &[
    transfers("transfer, in memory", MEMORY, 1000, 64),
    transfers("transfer, in memory, 1 connection", MEMORY, 1000, 1),
    transfers("transfer, in memory, 256 connections", MEMORY, 1000, 256),
    transfers("transfer, in memory, a hot pair", MEMORY, 2, 64),
    transfers("transfer, on disk", DISK, 1000, 64),
    transfers("transfer, on disk, 1 connection", DISK, 1000, 1),
    transfers("transfer, on disk, 256 connections", DISK, 1000, 256),
    transfers("transfer, on disk, a hot pair", DISK, 2, 64),
    transfers("transfer, transactionalkvstore", TRANSACTIONS, 1000, 64),
    transfers(
        "transfer, transactionalkvstore, 1 connection",
        TRANSACTIONS,
        1000,
        1,
    ),
    transfers(
        "transfer, transactionalkvstore, 256 connections",
        TRANSACTIONS,
        1000,
        256,
    ),
    transfers(
        "transfer, transactionalkvstore, a hot pair",
        TRANSACTIONS,
        2,
        64,
    ),
    transfers("transfer, resilientkvstore", SINGLE_PUTS, 1000, 64),
    transfers(
        "transfer, resilientkvstore, 1 connection",
        SINGLE_PUTS,
        1000,
        1,
    ),
    transfers(
        "transfer, resilientkvstore, 256 connections",
        SINGLE_PUTS,
        1000,
        256,
    ),
    Scenario {
        name: "accounts of 1,000 people",
        subject: MEMORY,
        load: Load::Read {
            path: "/api/accounts",
            people: 1000,
        },
        connections: 64,
    },
    Scenario {
        name: "clear of 1,000 people",
        subject: MEMORY,
        load: Load::Read {
            path: "/api/clear",
            people: 1000,
        },
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
        // So many that no request is overtaken by the next one of its key, which would be refused.
        load: Load::Puts { keys: 20_000 },
        connections: 64,
    },
];

const fn transfers(
    name: &'static str,
    subject: Subject,
    people: u32,
    connections: u32,
) -> Scenario {
    Scenario {
        name,
        subject,
        load: Load::Transfers { people },
        connections,
    }
}
