use std::iter::Peekable;

use crate::store::{Entry, Fault};

/// The entries of `older`, and over them those of `newer`; both sorted by key, and so is this.
pub(super) struct Merged<N: Iterator, O: Iterator> {
    newer: Peekable<N>,
    older: Peekable<O>,
}

impl<N, O> Merged<N, O>
where
    N: Iterator<Item = Result<Entry, Fault>>,
    O: Iterator<Item = Result<Entry, Fault>>,
{
    pub(super) fn new(newer: N, older: O) -> Self {
        Self {
            newer: newer.peekable(),
            older: older.peekable(),
        }
    }
}

impl<N, O> Iterator for Merged<N, O>
where
    N: Iterator<Item = Result<Entry, Fault>>,
    O: Iterator<Item = Result<Entry, Fault>>,
{
    type Item = Result<Entry, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        match (self.newer.peek(), self.older.peek()) {
            (_, Some(Err(_))) | (None, _) => return self.older.next(),
            (Some(Ok(newer)), Some(Ok(older))) if older.key < newer.key => {
                return self.older.next();
            }
            (Some(Ok(newer)), Some(Ok(older))) if older.key == newer.key => {
                self.older.next();
            }
            (Some(_), _) => {}
        }
        self.newer.next()
    }
}
