//! What is in a block: rows, sorted, and those that are written over them.

use std::iter::Peekable;
use std::ops::Range;

use redb::StorageError;

use super::row::{self, NotWhole};
use crate::store::{Key, Versioned};

/// Bytes of a block, so that it has a page of the database for itself and fills most of it. Only a row that
/// is longer makes a longer one.
const LENGTH: usize = 3_600;

/// Bytes of a block with room for further rows.
const ROOMY: usize = LENGTH * 3 / 4;

/// Bytes of new rows that are rewritten at a time, or a row more: bounds the memory that a long restore takes.
const TOGETHER: usize = 64 * 1024;

/// The rows of a block, with others that were written over them.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    bytes: Vec<u8>,
    /// Where each row begins.
    starts: Vec<usize>,
    /// The rows that were not there before.
    new: New,
}

/// New rows among others.
#[derive(Debug, Default)]
struct New {
    count: usize,
    /// Bytes of them all.
    length: usize,
    /// From where the first begins to where the last ends.
    extent: Range<usize>,
}

impl Rewritten {
    /// Merges what is `there` with the next of `rows`, which are sorted by key: those before the key `end`,
    /// or as many of them as are rewritten at a time.
    pub(super) fn of(
        there: &[u8],
        rows: &mut Peekable<impl Iterator<Item = (Key, Versioned)>>,
        end: Option<&str>,
    ) -> Result<Self, StorageError> {
        let mut rewritten = Self {
            bytes: Vec::with_capacity(2 * LENGTH),
            ..Self::default()
        };
        for old in row::decode(there) {
            let old = old?;
            rewritten.add_new(rows, |key| key.as_bytes() < old.key)?;
            match rows.next_if(|(key, _)| key.as_bytes() == old.key) {
                Some((key, row)) => rewritten.add(&key, &row)?,
                None => {
                    rewritten.starts.push(rewritten.bytes.len());
                    rewritten.bytes.extend(old.bytes);
                }
            }
        }
        rewritten.add_new(rows, |key| end.is_none_or(|end| key < end))?;
        Ok(rewritten)
    }

    /// Adds those of `rows` that are next.
    fn add_new(
        &mut self,
        rows: &mut Peekable<impl Iterator<Item = (Key, Versioned)>>,
        is_next: impl Fn(&str) -> bool,
    ) -> Result<(), StorageError> {
        while self.new.length < TOGETHER
            && let Some((key, row)) = rows.next_if(|(key, _)| is_next(key))
        {
            let start = self.bytes.len();
            self.add(&key, &row)?;
            self.new.add(start..self.bytes.len());
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
    /// Where they do not fit one and the new rows are side by side, what comes after those begins another: rows
    /// that are made in the order of their keys, as records are, fill block after block then, instead of leaving
    /// each half full. Else they are cut into equal parts, with room for what will come between.
    pub(super) fn cut(&self) -> Vec<&[u8]> {
        let length = self.bytes.len();
        let parts = match length > LENGTH {
            true => length / ROOMY + 1,
            false => 1,
        };
        let in_order = parts > 1 && self.new.are_in_order(length);
        let part_of = |at: usize| match in_order {
            true => usize::from(at >= self.new.extent.end),
            false => at * parts / length.max(1),
        };
        let ends = self.starts.iter().skip(1).copied().chain([length]);
        let mut blocks = Vec::new();
        let mut begin = 0;
        for (&start, end) in self.starts.iter().zip(ends) {
            if start > begin && (end - begin > LENGTH || part_of(start) > part_of(begin)) {
                blocks.push(&self.bytes[begin..start]);
                begin = start;
            }
        }
        blocks.push(&self.bytes[begin..]);
        blocks
    }
}

impl New {
    fn add(&mut self, row: Range<usize>) {
        if self.count == 0 {
            self.extent.start = row.start;
        }
        self.extent.end = row.end;
        self.length += row.len();
        self.count += 1;
    }

    /// Whether they stand side by side among all rows, of so many bytes. One alone does so anywhere, and tells
    /// only at the end.
    fn are_in_order(&self, all: usize) -> bool {
        self.length == self.extent.len() && (self.count > 1 || self.extent.end == all)
    }
}

impl From<NotWhole> for StorageError {
    fn from(NotWhole: NotWhole) -> Self {
        Self::Corrupted("a block is not whole".to_owned())
    }
}
