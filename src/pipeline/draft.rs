use std::sync::Arc;

use super::cell::Cell;
use super::error::Cause;
use super::remembered::Known;
use crate::kv::{Key, Put};
use crate::ledger::Transfer;

/// The cells of a batch's people, as its transfers leave them one after the other. Pure.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Sorted by key, as a store wants the puts.
    lines: Vec<Line>,
    /// The numbers of the sender and the receiver of each transfer.
    parties: Vec<[usize; 2]>,
}

/// Those of a batch that are not made, by their places in it.
#[derive(Debug, Default)]
pub(super) struct Unmade {
    /// They cannot be made.
    pub(super) refused: Vec<(usize, Cause)>,
    /// They cannot be made after those before them, which may yet come to nothing.
    pub(super) put_off: Vec<usize>,
}

impl Unmade {
    /// Whether all are made.
    pub(super) fn is_none(&self) -> bool {
        self.refused.is_empty() && self.put_off.is_empty()
    }
}

/// People of a draft: their numbers and keys.
pub(super) type People = Vec<(usize, Key)>;

/// The cell of one person.
#[derive(Debug)]
struct Line {
    key: Key,
    /// What is in the store, as far as is known; `None` if it cannot be read as a cell.
    before: Option<Known>,
    /// Whether it was read for this draft.
    is_fresh: bool,
    /// As it is to be.
    after: Cell,
}

impl Draft {
    /// A draft of nothing yet about the people of `transfers`.
    pub(super) fn of<'a>(transfers: impl ExactSizeIterator<Item = &'a Transfer>) -> Self {
        let mut parties = vec![[0; 2]; transfers.len()];
        let mut people = Vec::with_capacity(transfers.len() * 2);
        for (at, transfer) in transfers.enumerate() {
            people.push((transfer.sender(), at, 0));
            people.push((transfer.receiver(), at, 1));
        }
        // Less than to look each of them up by a hash.
        people.sort_unstable_by_key(|(person, ..)| *person);
        let mut lines: Vec<Line> = Vec::with_capacity(people.len());
        for (person, at, leg) in people {
            if lines
                .last()
                .is_none_or(|last| *last.key != *person.as_str())
            {
                lines.push(Line::of(person.to_shared()));
            }
            parties[at][leg] = lines.len() - 1;
        }
        Self { lines, parties }
    }

    /// Whom it is about.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.lines.iter().map(|line| &line.key)
    }

    /// Notes what is remembered of the person number `at`.
    pub(super) fn remember(&mut self, at: usize, known: Option<Known>) {
        self.lines[at].before = known;
    }

    /// Notes what was read of the person number `at`: `None` if it is no cell.
    pub(super) fn read(&mut self, at: usize, known: Option<Known>) {
        self.lines[at].before = known;
        self.lines[at].is_fresh = true;
    }

    /// Of whom nothing is known.
    pub(super) fn unknown(&self) -> People {
        let unknown = |line: &Line| line.before.is_none() && !line.is_fresh;
        let places = 0..self.lines.len();
        self.people(places.filter(|&at| unknown(&self.lines[at])))
    }

    /// Makes `transfers`, one after the other, but for those that cannot be made.
    ///
    /// # Errors
    ///
    /// Of whom something is to be read first: a transfer is refused only for what was just read.
    pub(super) fn make<'a>(
        &mut self,
        transfers: impl Iterator<Item = &'a Transfer>,
    ) -> Result<Unmade, People> {
        for line in &mut self.lines {
            let before = line.before.as_ref().map(|known| known.cell.unsealed());
            line.after = before.unwrap_or_default();
        }
        let (mut unmade, mut doubtful) = (Unmade::default(), Vec::new());
        for (at, transfer) in transfers.enumerate() {
            let amount = transfer.amount().get();
            let [sender, receiver] = self.parties[at];
            let legs = [(sender, amount), (receiver, -amount)];
            match legs.map(|(place, delta)| self.lines[place].moved(delta)) {
                [Some(sender), Some(receiver)] => {
                    self.lines[legs[0].0].after.balance = sender;
                    self.lines[legs[1].0].after.balance = receiver;
                }
                _ if legs.iter().any(|leg| !self.lines[leg.0].is_fresh) => {
                    let stale = legs.iter().map(|leg| leg.0);
                    doubtful.extend(stale.filter(|&place| !self.lines[place].is_fresh));
                }
                _ => {
                    let refusal = |(place, delta): (usize, _)| self.lines[place].refusal(delta);
                    match legs.into_iter().find_map(refusal) {
                        Some(cause) => unmade.refused.push((at, cause)),
                        None => unmade.put_off.push(at),
                    }
                }
            }
        }
        doubtful.sort_unstable();
        doubtful.dedup();
        match doubtful.is_empty() {
            true => Ok(unmade),
            false => Err(self.people(doubtful)),
        }
    }

    /// The puts that make it so.
    pub(super) fn puts(&self) -> impl ExactSizeIterator<Item = Put> {
        let put = |line: &Line| Put::new(Arc::clone(&line.key), line.after.value(), line.version());
        self.lines.iter().map(put)
    }

    /// What is in the store after the puts were made.
    pub(super) fn after(self) -> impl Iterator<Item = (Key, Known)> {
        self.lines.into_iter().map(|line| {
            let known = Known {
                version: line.version() + 1,
                cell: line.after,
            };
            (line.key, known)
        })
    }

    /// What was in the store before.
    pub(super) fn before(self) -> impl Iterator<Item = (Key, Known)> {
        let known = |line: Line| Some((line.key, line.before?));
        self.lines.into_iter().filter_map(known)
    }

    /// Notes that the cell of `key` is another one by now: `None` if it is no cell, which has to be
    /// read again.
    pub(super) fn has_moved(&mut self, key: &Key, known: Option<Known>) {
        if let Ok(at) = self.lines.binary_search_by(|line| line.key.cmp(key)) {
            self.lines[at].before = known;
        }
    }

    fn people(&self, places: impl IntoIterator<Item = usize>) -> People {
        let person = |at: usize| (at, Arc::clone(&self.lines[at].key));
        places.into_iter().map(person).collect()
    }
}

impl Line {
    /// Of the person whose cell is under `key`, of which nothing is known yet.
    fn of(key: Key) -> Self {
        Self {
            key,
            before: None,
            is_fresh: false,
            after: Cell::default(),
        }
    }

    /// The balance when `delta` is added to what those before leave; `None` if that cannot be.
    fn moved(&self, delta: i64) -> Option<i64> {
        self.before.as_ref()?;
        self.after.balance_after(delta)
    }

    /// Why `delta` cannot be added to what is in the store, if it cannot.
    fn refusal(&self, delta: i64) -> Option<Cause> {
        let person = Arc::clone(&self.key);
        match &self.before {
            None => Some(Cause::Unreadable { person }),
            Some(known) => match known.cell.balance_after(delta) {
                None => Some(Cause::OutOfRange { person }),
                Some(_) => None,
            },
        }
    }

    fn version(&self) -> u64 {
        self.before.as_ref().map_or(0, |known| known.version)
    }
}
