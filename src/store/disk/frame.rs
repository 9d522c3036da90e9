//! A commit as it stands in the journal.
//!
//! ```text
//! seal (8 bytes), of all that follows
//! length of what follows after this (4 bytes)
//! revision before, revision after (8 bytes each)
//! the rows, one after the other
//! ```
//!
//! Numbers are little-endian.

use std::collections::BTreeMap;

use super::row::{self, NotWhole};
use super::seal::{self, Seal};
use crate::store::{Key, Versioned};

/// Bytes before the rows.
const HEAD: usize = seal::LENGTH + 4 + 8 + 8;

/// A commit that was read from the journal.
#[derive(Debug)]
pub(super) struct Frame {
    /// The revision that it stands on.
    pub(super) before: u64,
    /// Its own revision.
    pub(super) revision: u64,
    /// What it has written.
    pub(super) rows: BTreeMap<Key, Versioned>,
    /// Its bytes in the journal.
    pub(super) length: usize,
}

/// Bytes of a commit of `rows`.
pub(super) fn length(rows: &BTreeMap<Key, Versioned>) -> usize {
    let rows = rows.iter();
    HEAD + rows.map(|(key, row)| row::length(key, row)).sum::<usize>()
}

/// Writes a commit of `rows`, whose [`length`] must fit 32 bits, to `out`.
pub(super) fn encode(
    out: &mut Vec<u8>,
    seal: Seal,
    (before, revision): (u64, u64),
    rows: &BTreeMap<Key, Versioned>,
) {
    out.clear();
    out.resize(HEAD, 0);
    for (key, row) in rows {
        row::encode(out, key, row);
    }
    let length = u32::try_from(out.len() - seal::LENGTH - 4);
    let length = length.expect("as long as a half of the journal at the most");
    out[8..12].copy_from_slice(&length.to_le_bytes());
    out[12..20].copy_from_slice(&before.to_le_bytes());
    out[20..28].copy_from_slice(&revision.to_le_bytes());
    let sealed = seal.of(&out[seal::LENGTH..]);
    out[..seal::LENGTH].copy_from_slice(&sealed);
}

/// The frame that `bytes` begin with, if they do.
pub(super) fn decode(bytes: &[u8], seal: Seal) -> Option<Frame> {
    let (length, _) = bytes.get(seal::LENGTH..)?.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let length = length.checked_add(seal::LENGTH + 4)?;
    let content = seal.open(bytes.get(..length)?)?.get(4..)?;
    let (before, content) = content.split_first_chunk()?;
    let (revision, rows) = content.split_first_chunk()?;
    let rows = row::decode(rows).map(|row| Ok(row?.entry()?.into_row()));
    Some(Frame {
        before: u64::from_le_bytes(*before),
        revision: u64::from_le_bytes(*revision),
        rows: rows.collect::<Result<_, NotWhole>>().ok()?,
        length,
    })
}
