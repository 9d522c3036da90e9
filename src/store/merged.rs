use std::iter::Peekable;

use super::Entry;

/// The entries of `older`, and over them those of `newer`; both sorted by key, and so is this.
pub(super) struct Merged<N: Iterator, O: Iterator> {
    newer: Peekable<N>,
    older: Peekable<O>,
}

impl<N, O, E> Merged<N, O>
where
    N: Iterator<Item = Result<Entry, E>>,
    O: Iterator<Item = Result<Entry, E>>,
{
    pub(super) fn new(newer: N, older: O) -> Self {
        Self {
            newer: newer.peekable(),
            older: older.peekable(),
        }
    }
}

impl<N, O, E> Iterator for Merged<N, O>
where
    N: Iterator<Item = Result<Entry, E>>,
    O: Iterator<Item = Result<Entry, E>>,
{
    type Item = Result<Entry, E>;

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
