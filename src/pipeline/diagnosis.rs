use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cell::MarkKind;
use super::record::{self, Outcome, Record};
use super::snapshot::Snapshot;
use crate::kv::{Entry, Key, Stamp};

/// What the keys of corrections begin with.
pub(super) const CORRECTIONS: &str = "!c/";

/// A correction that was booked, under a key of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Booked {
    pub(super) person: String,
    pub(super) by: i64,
}

/// What is wrong with a ledger.
#[derive(Debug, Default)]
pub struct Diagnosis {
    /// Why the ledger is in quarantine, if it is.
    pub quarantine: Option<String>,
    /// Transfers that are open, and what is to be done about each.
    pub open: Vec<(Uuid, &'static str)>,
    /// Marks and seals that nobody needs any more.
    pub remains: usize,
    /// Keys of what is no balance.
    pub unreadable: Vec<Key>,
    /// What the balances sum to, open transfers rolled forward.
    pub sum: i128,
    /// People whose balance (the first) is not what the records say (the second).
    pub differences: Vec<(Key, Option<i64>, i128)>,
    /// People whom no record names though they have a balance: it was imported, or records are lost.
    pub without_records: Vec<Key>,
    /// What everybody has by the records: not zero, where a correction has undone what others had changed.
    pub(super) recorded_sum: i128,
    pub(super) snapshot: Snapshot,
    versions: BTreeMap<Key, u64>,
}

impl Diagnosis {
    /// Whether there is nothing to repair.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.quarantine.is_none() && self.sum == 0 && self.is_at_rest()
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.open.is_empty() && self.remains == 0
    }

    /// The version of what is stored for `person`.
    pub(super) fn version(&self, person: &Key) -> u64 {
        self.versions.get(person).copied().unwrap_or_default()
    }
}

/// What all entries of a store, one after the other, say of the ledger. Of a record it keeps its id only.
#[derive(Debug, Default)]
pub(super) struct Examination {
    /// What the records say that people have.
    recorded: BTreeMap<Key, i128>,
    /// The transfers that have a record.
    ended: HashSet<Uuid>,
    /// What belongs to people.
    cells: Vec<Entry>,
}

impl Examination {
    pub(super) fn see(&mut self, entry: Entry) {
        let Entry { key, value, .. } = &entry;
        if let Some(id) = key.strip_prefix(record::PREFIX) {
            let Ok(record) = serde_json::from_str::<Record<'_>>(value) else {
                return;
            };
            self.ended.extend(id.parse::<Uuid>());
            if record.result == Outcome::Done {
                self.moved(&record.sender, &record.receiver, record.amount);
            }
        } else if key.starts_with(CORRECTIONS) {
            if let Ok(Booked { person, by }) = serde_json::from_str(value) {
                self.changed(&person, by.into());
            }
        } else if !key.starts_with('!') {
            self.cells.push(entry);
        }
    }

    fn moved(&mut self, sender: &str, receiver: &str, amount: i64) {
        self.changed(sender, amount.into());
        self.changed(receiver, -i128::from(amount));
    }

    fn changed(&mut self, person: &str, by: i128) {
        match self.recorded.get_mut(person) {
            Some(balance) => *balance += by,
            None => drop(self.recorded.insert(person.into(), by)),
        }
    }

    /// What is wrong, after everything of `stamp` was seen.
    pub(super) fn diagnosis(mut self, stamp: Option<Stamp>) -> Diagnosis {
        let versions = self
            .cells
            .iter()
            .map(|entry| (Arc::clone(&entry.key), entry.version))
            .collect();
        let snapshot = Snapshot::new(std::mem::take(&mut self.cells), stamp);
        for open in snapshot.open() {
            if !self.ended.contains(&open.id) && open.mark != Some(MarkKind::Fence) {
                let transfer = &open.transfer;
                let (sender, receiver) = (transfer.sender().as_str(), transfer.receiver().as_str());
                self.moved(sender, receiver, transfer.amount().get());
            }
        }
        let mut diagnosis = Diagnosis {
            sum: snapshot.sum(),
            recorded_sum: self.recorded.values().sum(),
            unreadable: snapshot.unreadable().to_vec(),
            remains: snapshot.stray().len() + snapshot.sealed().len(),
            open: snapshot
                .open()
                .iter()
                .map(|open| (open.id, open.stands()))
                .collect(),
            versions,
            ..Diagnosis::default()
        };
        for account in snapshot.accounts() {
            let holder = Arc::clone(&account.holder);
            match self.recorded.remove(&account.holder) {
                Some(recorded) if recorded == account.balance.into() => {}
                Some(recorded) => {
                    let difference = (holder, Some(account.balance), recorded);
                    diagnosis.differences.push(difference);
                }
                None if account.balance == 0 => {}
                None => diagnosis.without_records.push(holder),
            }
        }
        let missing = self.recorded.into_iter();
        let missing = missing.filter(|(_, recorded)| *recorded != 0);
        diagnosis
            .differences
            .extend(missing.map(|(person, recorded)| (person, None, recorded)));
        diagnosis.snapshot = snapshot;
        diagnosis
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.quarantine {
            Some(reason) => writeln!(f, "The ledger is in quarantine: {reason}.")?,
            None => writeln!(f, "The ledger is not in quarantine.")?,
        }
        match self.sum {
            0 => writeln!(f, "The balances sum to zero.")?,
            sum => writeln!(f, "The balances sum to {sum} instead of zero.")?,
        }
        for (id, stands) in &self.open {
            writeln!(f, "Transfer {id} is open: {stands}.")?;
        }
        if self.remains > 0 {
            writeln!(f, "Marks and seals to be removed: {}.", self.remains)?;
        }
        for key in &self.unreadable {
            writeln!(f, "What is stored for {key:?} is no balance.")?;
        }
        for (person, balance, recorded) in &self.differences {
            match balance {
                Some(balance) => writeln!(
                    f,
                    "{person:?} has {balance}; by the records it is {recorded}."
                )?,
                None => writeln!(
                    f,
                    "{person:?} has no balance; by the records it is {recorded}."
                )?,
            }
        }
        for person in &self.without_records {
            writeln!(f, "No record names {person:?}, who has a balance.")?;
        }
        Ok(())
    }
}
