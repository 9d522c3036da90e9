//! What "exact" is: every transfer that was answered 200 happened once, every one answered *not
//! applied* did not happen, every *unknown* one happened once or not at all, and the balances sum
//! to zero.
//!
//! A transfer that happens twice keeps the sum, and among shared people it hides behind another one
//! that was lost. So part of a load has a *fresh receiver* for each transfer: that one balance tells
//! what became of that one transfer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A transfer that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) sender: String,
    pub(crate) receiver: String,
    pub(crate) amount: i64,
}

/// What its client knows of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered 200.
    Done,
    /// It was answered that it was not made.
    NotApplied,
    /// There was no answer, or it was answered that nobody knows yet.
    Unknown,
}

/// Everybody's balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Balances(pub(crate) BTreeMap<String, i64>);

/// The transfers that were sent, and what their clients know of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
    /// Why the unknown ones are.
    pub(crate) doubts: Vec<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    transfer: Transfer,
    outcome: Outcome,
    /// Where its client can ask what became of it, if that was told because nobody knew.
    place: Option<String>,
}

/// What is not exact, a line each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inexact(Vec<String>);

/// So many open possibilities of one balance are tried one by one; with more, only the bounds count.
const MAX_TRIED: usize = 16;

impl Journal {
    pub(crate) fn note(&mut self, transfer: Transfer, outcome: Outcome) {
        self.entries.push(Entry {
            transfer,
            outcome,
            place: None,
        });
    }

    /// Notes `transfer` before it is sent: from then on it may be seen. Gives its number here.
    pub(crate) fn sent(&mut self, transfer: Transfer) -> usize {
        self.note(transfer, Outcome::Unknown);
        self.entries.len() - 1
    }

    /// Notes how the transfer of this number was answered: `place` is where to ask further, if told.
    pub(crate) fn answered(&mut self, number: usize, outcome: Outcome, place: Option<String>) {
        let entry = &mut self.entries[number];
        entry.outcome = outcome;
        entry.place = place;
    }

    /// The unknown transfers of which it can be asked what became of them: where, and what is known.
    pub(crate) fn open(&mut self) -> impl Iterator<Item = (&str, &mut Outcome)> {
        let entries = self.entries.iter_mut();
        entries
            .filter(|entry| entry.outcome == Outcome::Unknown)
            .filter_map(|entry| Some((entry.place.as_deref()?, &mut entry.outcome)))
    }

    /// The same as somebody may see it who began to look when `before` was known: what was done, but
    /// not answered by then, may be there already or not.
    #[must_use]
    pub(crate) fn seen_since(&self, before: &Self) -> Self {
        let mut seen = self.clone();
        for (number, entry) in seen.entries.iter_mut().enumerate() {
            let earlier = before.entries.get(number).map(|entry| entry.outcome);
            if entry.outcome == Outcome::Done && earlier != Some(Outcome::Done) {
                entry.outcome = Outcome::Unknown;
            }
        }
        seen
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
        self.doubts.append(&mut other.doubts);
    }

    /// The same without those of which this is known.
    #[must_use]
    pub(crate) fn without(&self, outcome: Outcome) -> Self {
        let mut rest = self.clone();
        rest.entries.retain(|entry| entry.outcome != outcome);
        rest
    }

    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        let same = |entry: &&Entry| entry.outcome == outcome;
        self.entries.iter().filter(same).count()
    }

    /// Checks that `balances` are what came of these transfers, on a ledger that was empty before.
    pub(crate) fn check(&self, balances: &Balances) -> Result<(), Inexact> {
        let mut wrong = Vec::new();
        let sum = balances.sum();
        if sum != 0 {
            wrong.push(format!("the balances sum to {sum}"));
        }
        let possible = self.settled(balances).possible();
        let nobody = Possible::default();
        let people: BTreeSet<_> = possible.keys().chain(balances.0.keys()).collect();
        for person in people {
            let balance = balances.0.get(person).copied().unwrap_or(0);
            let possible = possible.get(person).unwrap_or(&nobody);
            if !possible.has(balance) {
                wrong.push(format!("{person} is at {balance}, but {possible}"));
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Inexact(wrong)),
        }
    }

    /// The same, with a verdict on each unknown transfer whose receiver has no other one: `balances`
    /// tell what became of it, and it must stay so.
    #[must_use]
    pub(crate) fn settled(&self, balances: &Balances) -> Self {
        let mut named = BTreeMap::new();
        for Entry { transfer, .. } in &self.entries {
            *named.entry(transfer.sender.clone()).or_insert(0) += 1;
            *named.entry(transfer.receiver.clone()).or_insert(0) += 1;
        }
        let mut settled = self.clone();
        for entry in &mut settled.entries {
            let receiver = &entry.transfer.receiver;
            if entry.outcome == Outcome::Unknown && named[receiver] == 1 {
                entry.outcome = match balances.0.get(receiver) {
                    None | Some(0) => Outcome::NotApplied,
                    Some(_) => Outcome::Done,
                };
            }
        }
        settled
    }

    fn possible(&self) -> BTreeMap<String, Possible> {
        let mut people: BTreeMap<String, Possible> = BTreeMap::new();
        for entry in &self.entries {
            let Transfer {
                sender,
                receiver,
                amount,
            } = &entry.transfer;
            for (person, delta) in [(sender, *amount), (receiver, -amount)] {
                let possible = people.entry(person.clone()).or_default();
                match entry.outcome {
                    Outcome::Done => possible.certain += delta,
                    Outcome::NotApplied => {}
                    Outcome::Unknown => possible.open.push(delta),
                }
            }
        }
        people
    }
}

impl Balances {
    /// Those that a store has, if each is a plain integer there: nothing is open. Else the keys and values
    /// that are not.
    pub(crate) fn at_rest<'a>(
        entries: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<String>> {
        let (mut balances, mut open) = (BTreeMap::new(), Vec::new());
        for (key, value) in entries {
            match value.parse() {
                // The service's own.
                _ if key.starts_with('!') => {}
                Ok(balance) => drop(balances.insert(key.to_owned(), balance)),
                Err(_) => open.push(format!("{key}: {value}")),
            }
        }
        match open.is_empty() {
            true => Ok(Self(balances)),
            false => Err(open),
        }
    }

    /// The balances that `GET /api/accounts` has answered.
    pub(crate) fn from_json(body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Account {
            holder: String,
            balance: i64,
        }
        let accounts: Vec<Account> = serde_json::from_slice(body).expect("accounts are JSON");
        let balances = accounts
            .into_iter()
            .map(|account| (account.holder, account.balance));
        Self(balances.collect())
    }

    pub(crate) fn sum(&self) -> i64 {
        self.0.values().sum()
    }
}

/// What the balance of one person may be.
#[derive(Debug, Default)]
struct Possible {
    certain: i64,
    open: Vec<i64>,
}

impl Possible {
    fn has(&self, balance: i64) -> bool {
        if self.open.len() <= MAX_TRIED {
            let mut sums = BTreeSet::from([self.certain]);
            for delta in &self.open {
                sums.extend(sums.clone().into_iter().map(|sum| sum + delta));
            }
            sums.contains(&balance)
        } else {
            let lowest: i64 = self.open.iter().map(|delta| delta.min(&0)).sum();
            let highest: i64 = self.open.iter().map(|delta| delta.max(&0)).sum();
            (self.certain + lowest..=self.certain + highest).contains(&balance)
        }
    }
}

impl fmt::Display for Possible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is certain, and {:?} is open",
            self.certain, self.open
        )
    }
}

impl fmt::Display for Inexact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}
