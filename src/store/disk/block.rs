//! What is in a block: rows, sorted, and those that are written over them.

use std::iter::Peekable;

use redb::StorageError;

use super::row::{self, NotWhole};
use crate::store::{Key, Versioned};

/// Bytes of a block, so that it has a page of the database for itself and fills most of it. Only a row that
/// is longer makes a longer one.
const LENGTH: usize = 3_600;

/// Bytes of new rows that are merged at a time, or a row more: bounds the memory that a long restore takes.
const TOGETHER: usize = 64 * 1024;

/// The rows of a block, with others that were written over them.
#[derive(Debug, Default)]
pub(super) struct Merged {
    bytes: Vec<u8>,
    /// Where each row begins.
    starts: Vec<usize>,
    /// Bytes of rows that were not there before.
    new: usize,
    /// Where the last of them ends.
    new_until: Option<usize>,
}

impl Merged {
    /// Merges what is `there` with the next of `rows`, which are sorted by key: those before the key `end`,
    /// or as many of them as are merged at a time.
    pub(super) fn of(
        there: &[u8],
        rows: &mut Peekable<impl Iterator<Item = (Key, Versioned)>>,
        end: Option<&str>,
    ) -> Result<Self, StorageError> {
        let mut merged = Self::default();
        for old in row::decode(there) {
            let old = old?;
            merged.add_new(rows, |key| key.as_bytes() < old.key)?;
            match rows.next_if(|(key, _)| key.as_bytes() == old.key) {
                Some((key, row)) => merged.add(&key, &row)?,
                None => {
                    merged.starts.push(merged.bytes.len());
                    merged.bytes.extend(old.bytes);
                }
            }
        }
        merged.add_new(rows, |key| end.is_none_or(|end| key < end))?;
        Ok(merged)
    }

    /// Adds those of `rows` that are next.
    fn add_new(
        &mut self,
        rows: &mut Peekable<impl Iterator<Item = (Key, Versioned)>>,
        is_next: impl Fn(&str) -> bool,
    ) -> Result<(), StorageError> {
        while self.new < TOGETHER
            && let Some((key, row)) = rows.next_if(|(key, _)| is_next(key))
        {
            self.add(&key, &row)?;
            self.new += row::length(&key, &row);
            self.new_until = Some(self.bytes.len());
        }
        Ok(())
    }

    fn add(&mut self, key: &str, row: &Versioned) -> Result<(), StorageError> {
        let length = row::length(key, row);
        u32::try_from(length).map_err(|_| StorageError::ValueTooLarge(length))?;
        self.starts.push(self.bytes.len());
        row::encode(&mut self.bytes, key, row);
        Ok(())
    }

    /// The blocks that they make; each but the first begins with the key of its first row.
    ///
    /// Where they do not fit one, what comes after the last new row begins another: rows that are made in the
    /// order of their keys, as records are, fill block after block then, instead of leaving each half full.
    /// Without new rows, it is halved.
    pub(super) fn cut(&self) -> Vec<&[u8]> {
        let length = self.bytes.len();
        let part_at = match length > LENGTH {
            true => self.new_until.or_else(|| self.middle()),
            false => None,
        };
        let ends = self.starts.iter().skip(1).copied().chain([length]);
        let mut blocks = Vec::new();
        let mut begin = 0;
        for (&start, end) in self.starts.iter().zip(ends) {
            if start > begin && (end - begin > LENGTH || part_at == Some(start)) {
                blocks.push(&self.bytes[begin..start]);
                begin = start;
            }
        }
        blocks.push(&self.bytes[begin..]);
        blocks
    }

    fn middle(&self) -> Option<usize> {
        let mut starts = self.starts.iter().copied();
        starts.find(|start| *start >= self.bytes.len() / 2)
    }
}

impl From<NotWhole> for StorageError {
    fn from(NotWhole: NotWhole) -> Self {
        Self::Corrupted("a block is not whole".to_owned())
    }
}
