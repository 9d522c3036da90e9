//! A row as it stands in a frame of the journal and in a block of the database.
//!
//! ```text
//! version (8 bytes), length of the key (4), of the value (4), key, value
//! ```
//!
//! Numbers are little-endian.

use std::sync::Arc;

use crate::store::{Entry, Key, Versioned};

/// Bytes of a row, its key and its value aside.
const HEAD: usize = 8 + 4 + 4;

/// A row as it was read. Whether its key and its value are text is not looked at before it is asked for:
/// most rows are only passed on the way to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) version: u64,
    pub(super) key: &'a [u8],
    value: &'a [u8],
    /// All of it, as it stands there.
    pub(super) bytes: &'a [u8],
}

/// Rows one after the other are not what was written.
#[derive(Debug)]
pub(super) struct NotWhole;

/// Bytes of the row.
pub(super) fn length(key: &str, row: &Versioned) -> usize {
    HEAD + key.len() + row.value.len()
}

/// Adds the row, whose [`length`] must fit 32 bits, to `out`.
pub(super) fn encode(out: &mut Vec<u8>, key: &str, row: &Versioned) {
    let short = |length: usize| {
        let length = u32::try_from(length);
        length.expect("the length of the row fits").to_le_bytes()
    };
    out.extend(row.version.to_le_bytes());
    out.extend(short(key.len()));
    out.extend(short(row.value.len()));
    out.extend(key.as_bytes());
    out.extend(row.value.as_bytes());
}

/// The rows that stand in `bytes` one after the other.
pub(super) fn decode(bytes: &[u8]) -> impl Iterator<Item = Result<Row<'_>, NotWhole>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let row = first(rest);
        rest = match &row {
            Some(row) => &rest[row.bytes.len()..],
            None => &[],
        };
        Some(row.ok_or(NotWhole))
    })
}

impl Row<'_> {
    pub(super) fn key(&self) -> Result<Key, NotWhole> {
        text(self.key)
    }

    pub(super) fn versioned(&self) -> Result<Versioned, NotWhole> {
        Ok(Versioned {
            value: text(self.value)?,
            version: self.version,
        })
    }

    pub(super) fn entry(&self) -> Result<Entry, NotWhole> {
        Ok(Entry::new(self.key()?, self.versioned()?))
    }
}

fn text(bytes: &[u8]) -> Result<Arc<str>, NotWhole> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotWhole)?;
    Ok(text.into())
}

/// The row that `bytes` begin with.
fn first(bytes: &[u8]) -> Option<Row<'_>> {
    let (version, rest) = bytes.split_first_chunk()?;
    let (key, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(long(*key)?)?;
    let (value, rest) = rest.split_at_checked(long(*value)?)?;
    Some(Row {
        version: u64::from_le_bytes(*version),
        key,
        value,
        bytes: &bytes[..bytes.len() - rest.len()],
    })
}

fn long(length: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(length)).ok()
}
