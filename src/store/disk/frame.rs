//! A commit as it stands in the journal.
//!
//! ```text
//! seal (8 bytes), of all that follows
//! length of what follows after this (4 bytes)
//! revision before, revision after (8 bytes each)
//! each row: version (8 bytes), length of the key (4), of the value (4), key, value
//! ```
//!
//! Numbers are little-endian.

use std::collections::BTreeMap;

use super::seal::{self, Seal};
use crate::store::{Key, Versioned};

/// Bytes before the rows.
const HEAD: usize = seal::LENGTH + 4 + 8 + 8;

/// Bytes of a row, its key and its value aside.
const ROW_HEAD: usize = 8 + 4 + 4;

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
    HEAD + rows
        .map(|(key, row)| ROW_HEAD + key.len() + row.value.len())
        .sum::<usize>()
}

/// Writes a commit of `rows`, whose [`length`] must fit 32 bits, to `out`.
pub(super) fn encode(
    out: &mut Vec<u8>,
    seal: Seal,
    (before, revision): (u64, u64),
    rows: &BTreeMap<Key, Versioned>,
) {
    let short = |length: usize| {
        let length = u32::try_from(length);
        length
            .expect("as long as a frame at the most")
            .to_le_bytes()
    };
    out.clear();
    out.resize(HEAD, 0);
    for (key, Versioned { value, version }) in rows {
        out.extend(version.to_le_bytes());
        out.extend(short(key.len()));
        out.extend(short(value.len()));
        out.extend(key.as_bytes());
        out.extend(value.as_bytes());
    }
    let length = short(out.len() - seal::LENGTH - 4);
    out[8..12].copy_from_slice(&length);
    out[12..20].copy_from_slice(&before.to_le_bytes());
    out[20..28].copy_from_slice(&revision.to_le_bytes());
    let sealed = seal.of(&out[seal::LENGTH..]);
    out[..seal::LENGTH].copy_from_slice(&sealed);
}

/// The frame that `bytes` begin with, if they do.
pub(super) fn decode(bytes: &[u8], seal: Seal) -> Option<Frame> {
    let mut rest = Bytes(bytes.get(seal::LENGTH..)?);
    let length = rest.length()?.checked_add(seal::LENGTH + 4)?;
    let content = seal.open(bytes.get(..length)?)?;
    let mut rest = Bytes(content.get(4..)?);
    let (before, revision) = (rest.number()?, rest.number()?);
    let mut rows = BTreeMap::new();
    while !rest.0.is_empty() {
        let version = rest.number()?;
        let (key, value) = (rest.length()?, rest.length()?);
        let (key, value) = (rest.text(key)?, rest.text(value)?);
        let value = value.into();
        rows.insert(key.into(), Versioned { value, version });
    }
    Some(Frame {
        before,
        revision,
        rows,
        length,
    })
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.take()?)).ok()
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}
