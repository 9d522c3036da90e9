//! What a store's file begins with, and where its parts are.
//!
//! ```text
//! 0          head: magic, format, length of the journal, key of the seals
//! 4096       mark: a revision that was synced in the journal
//! 8192       journal, in two halves: the commits since the last checkpoint
//! 4096 + n   another mark
//! 8192 + n   the database (redb): the last checkpoint
//! ```
//!
//! There was one mark once, and the journal went on to the database. So an older program writes commits over the
//! second one, which is none then; and what it has left there is read as the commits that it is.

use std::io;

use redb::StorageBackend;
use uuid::Uuid;

use super::seal::{self, Seal};

/// What our files begin with.
const MAGIC: &[u8; 16] = b"splitdim store\n\0";

/// The format of what is written. 1 was a redb file without a journal.
pub(super) const FORMAT: u64 = 4;

/// The format in which the database had rows, and [runs](super::former) of them; everything else is the same.
pub(super) const WITH_RUNS: u64 = 3;

/// The format in which it had rows only.
const OF_ROWS: u64 = 2;

/// Bytes that a disk, or what is below it, may lose or damage as a whole.
pub(super) const PAGE: u64 = 4096;

/// Where the first mark is: on a page of its own.
pub(super) const MARK_AT: u64 = 4096;

/// Where the journal begins.
pub(super) const JOURNAL_AT: u64 = 8192;

/// Bytes of the head: the magic, its seal, and what is sealed.
const LENGTH: usize = MAGIC.len() + seal::LENGTH + 8 + 8 + KEY;

/// Bytes of the key.
const KEY: usize = 16;

/// The head of a store's file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// [`FORMAT`], or one that can become it.
    pub(super) format: u64,
    /// Bytes of the journal.
    pub(super) journal: u64,
    pub(super) key: [u8; KEY],
}

/// What the first bytes of a file say.
#[derive(Debug)]
pub(super) enum Begins {
    /// A store, with this head.
    Store(Head),
    /// A store of another format.
    Format(u64),
    /// A store whose head is damaged.
    Damaged,
    /// Something else; perhaps a database as it was kept before there was a journal.
    Otherwise,
}

impl Head {
    /// That of a new store.
    pub(super) fn new(journal: u64) -> Self {
        Self {
            format: FORMAT,
            journal,
            key: Uuid::new_v4().into_bytes(),
        }
    }

    pub(super) fn seal(&self) -> Seal {
        Seal::new(&self.key)
    }

    /// Where the database begins.
    pub(super) fn database_at(&self) -> u64 {
        JOURNAL_AT + self.journal
    }

    /// Where the second mark is: on a page of its own, and far from the first one.
    pub(super) fn second_mark_at(&self) -> u64 {
        self.database_at() - PAGE
    }

    pub(super) fn write(&self, file: &dyn StorageBackend) -> io::Result<()> {
        let mut content = Vec::with_capacity(LENGTH);
        content.extend(self.format.to_le_bytes());
        content.extend(self.journal.to_le_bytes());
        content.extend(self.key);
        let seal = self.seal().of(&content);
        file.write(0, &[&MAGIC[..], &seal, &content].concat())
    }

    /// Reads what `file` begins with.
    pub(super) fn read(file: &dyn StorageBackend) -> io::Result<Begins> {
        let mut head = [0; LENGTH];
        let there = file.len()?.min(LENGTH as u64);
        // Shorter than a usize: it is at most LENGTH.
        file.read(0, &mut head[..there as usize])?;
        let Some(sealed) = head.strip_prefix(MAGIC) else {
            return Ok(Begins::Otherwise);
        };
        Ok(parse(sealed).unwrap_or(Begins::Damaged))
    }
}

fn parse(sealed: &[u8]) -> Option<Begins> {
    let (_, content) = sealed.split_at_checked(seal::LENGTH)?;
    let (format, rest) = content.split_first_chunk()?;
    let (journal, rest) = rest.split_first_chunk()?;
    let (key, _) = rest.split_first_chunk()?;
    let head = Head {
        format: u64::from_le_bytes(*format),
        journal: u64::from_le_bytes(*journal),
        key: *key,
    };
    head.seal().open(sealed)?;
    Some(match head.format {
        FORMAT | WITH_RUNS | OF_ROWS => Begins::Store(head),
        other => Begins::Format(other),
    })
}
