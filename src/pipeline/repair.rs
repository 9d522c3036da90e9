use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Ledger;
use super::cell::{Cell, MarkKind};
use super::posting::Posting;
use super::record::{self, Outcome, Record};
use super::snapshot::Snapshot;
use crate::kv::{Entry, Key, KvError, Listed, Put, Range, Stamp};
use crate::ledger::Name;

/// What the keys of corrections begin with.
const CORRECTIONS: &str = "!c/";

/// A change of one balance that an operator has decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Whose.
    pub person: Name,
    /// By how much.
    pub by: i64,
}

/// A correction that was booked, under its own key.
#[derive(Debug, Serialize, Deserialize)]
struct Booked {
    person: String,
    by: i64,
}

/// What an operator wants to be done about a ledger that is not whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Every balance becomes what the records of transfers say. Only right where every transfer ever
    /// made has its record: not where balances were imported.
    pub from_records: bool,
    /// These balances change.
    pub corrections: Vec<Correction>,
}

impl Repair {
    fn changes_balances(&self) -> bool {
        self.from_records || !self.corrections.is_empty()
    }
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
    pub differences: Vec<(Key, Option<i64>, i64)>,
    /// People whom no record names though they have a balance: it was imported, or records are lost.
    pub without_records: Vec<Key>,
    stamp: Option<Stamp>,
    snapshot: Snapshot,
    versions: BTreeMap<Key, u64>,
}

impl Diagnosis {
    /// Whether there is nothing to repair.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.quarantine.is_none() && self.sum == 0 && self.is_at_rest()
    }

    fn epoch(&self) -> Option<u64> {
        self.stamp.map(|stamp| stamp.epoch)
    }

    fn is_at_rest(&self) -> bool {
        self.open.is_empty() && self.remains == 0
    }

    /// Whether the records name everybody who has a balance.
    fn is_recorded(&self) -> Result<(), RepairError> {
        match self.without_records.first() {
            Some(person) => Err(RepairError::Incomplete {
                person: person.to_string(),
            }),
            None => Ok(()),
        }
    }
}

/// Why a ledger was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Some people have balances that no record explains.
    #[error(
        "the records are not complete: none names {person:?}, who has a balance; name corrections instead"
    )]
    Incomplete {
        /// One of them.
        person: String,
    },
    /// The balance of a person cannot be read, or would leave the range that is counted.
    #[error(
        "the balance of {person:?} cannot be changed by {by}; no correction was booked, and the ledger stays in quarantine until `splitdim repair --apply` finds it whole"
    )]
    Uncorrectable {
        /// Whose.
        person: String,
        /// The correction.
        by: i64,
    },
    /// Some transfers could not be finished.
    #[error("some transfers are still open: try again when the store can be written")]
    Open,
    /// Somebody else changed the quarantine at the same time.
    #[error("somebody else changed the quarantine at the same time: try again")]
    Contended,
    /// What was to be repaired is gone.
    #[error("the ledger was reset meanwhile; no balance was changed")]
    Reset,
    /// The store has not booked the corrections, and never will.
    #[error(
        "no correction was booked, and the ledger stays in quarantine until `splitdim repair --apply` finds it whole: try again"
    )]
    NotBooked(#[source] KvError),
    /// The store did not tell whether it has booked the corrections: all of them, or none.
    #[error(
        "it is not known whether the corrections were booked, all of them or none: look at the balances before you book them again; the ledger stays in quarantine until `splitdim repair --apply` finds it whole"
    )]
    InDoubt(#[source] KvError),
    /// Everything was done but for the last look.
    #[error(
        "the corrections were booked; do not book them again, but lift the quarantine by `splitdim repair --apply`"
    )]
    Booked(#[source] KvError),
    /// The store failed; what was done until then stands.
    #[error("the store failed")]
    Store(#[from] KvError),
}

impl Ledger {
    /// What is wrong with the ledger. Nothing is changed.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn diagnose(&self) -> Result<Diagnosis, KvError> {
        let quarantine = self.fuse.suspicion().await?.map(|known| known.reason);
        let Listed::Entries(entries, stamp) = self.kv.list(Range::default(), None).await? else {
            return Err(KvError::Unavailable("nothing was listed".into()));
        };
        let mut diagnosis = Diagnosis {
            quarantine,
            ..diagnose(entries, stamp)
        };
        diagnosis.stamp = stamp;
        Ok(diagnosis)
    }

    /// Finishes what is open, does what `repair` says, and lifts the quarantine if the ledger is whole
    /// then. No replica makes transfers while balances are changed.
    ///
    /// # Errors
    ///
    /// [`RepairError`]; the quarantine stays then.
    pub async fn repair(&self, repair: &Repair) -> Result<Diagnosis, RepairError> {
        let mut diagnosis = self.diagnose().await?;
        if repair.from_records {
            diagnosis.is_recorded()?;
        }
        let epoch = diagnosis.epoch();
        if repair.changes_balances() {
            self.hold_quarantine(diagnosis.sum).await?;
        }
        let patience = &self.options.patience;
        let until = Instant::now() + patience.try_within + patience.undo_within;
        loop {
            self.finish_open(&diagnosis).await;
            diagnosis = self.diagnose().await?;
            if diagnosis.is_at_rest() || Instant::now() > until {
                break;
            }
            sleep(patience.quarantine_poll).await;
        }
        if repair.changes_balances() {
            if diagnosis.epoch() != epoch {
                return Err(RepairError::Reset);
            }
            if !diagnosis.is_at_rest() {
                return Err(RepairError::Open);
            }
        }
        if repair.from_records {
            diagnosis.is_recorded()?;
            for (person, _, recorded) in &diagnosis.differences {
                self.set(&diagnosis, person, *recorded).await?;
            }
        }
        if repair.corrections.is_empty() {
            return Ok(self.lift_if_whole().await?);
        }
        self.book(&repair.corrections, epoch).await?;
        self.lift_if_whole().await.map_err(RepairError::Booked)
    }

    /// Lifts the quarantine if the ledger is whole.
    async fn lift_if_whole(&self) -> Result<Diagnosis, KvError> {
        // Before the look that is to answer it.
        let known = self.fuse.suspicion().await?;
        let mut diagnosis = self.diagnose().await?;
        if let Some(known) = known
            && [0, known.sum.into()].contains(&diagnosis.sum)
            && diagnosis.open.is_empty()
            && self.fuse.lift(&known).await?
        {
            diagnosis.quarantine = None;
        }
        Ok(diagnosis)
    }

    /// Stops the transfers of every replica until the repair is done, whatever sweepers find. Where nobody
    /// has found anything, `sum` is what the ledger may sum to.
    async fn hold_quarantine(&self, sum: i128) -> Result<(), RepairError> {
        let sum = sum.try_into().unwrap_or_default();
        match self.fuse.hold("it is being repaired", sum).await {
            Err(KvError::Conflict(_)) => return Err(RepairError::Contended),
            held => held?,
        }
        // By then every replica knows.
        sleep(self.options.patience.quarantine_poll * 2).await;
        Ok(())
    }

    async fn finish_open(&self, diagnosis: &Diagnosis) {
        let (epoch, try_within) = (diagnosis.epoch(), self.options.patience.try_within);
        let found = |id, transfer| Posting::found(id, transfer, epoch, try_within);
        for open in diagnosis.snapshot.open() {
            let posting = found(open.id, open.transfer.clone());
            if let Some(in_hand) = self.underway.take(&posting) {
                // The next diagnosis shows what came of it.
                let _ = self.saga.clone().see_through(posting, in_hand).await;
            }
        }
        for (receiver, mark) in diagnosis.snapshot.stray() {
            if let Some(transfer) = mark.transfer(receiver) {
                let _ = self.saga.clone().prune(found(mark.id, transfer)).await;
            }
        }
        for key in diagnosis.snapshot.sealed() {
            let _ = self.places.hold(Arc::clone(key)).rest().await;
        }
    }

    /// Puts a balance in the place of whatever is there.
    async fn set(&self, diagnosis: &Diagnosis, person: &Key, balance: i64) -> Result<(), KvError> {
        let put = Put::new(
            Arc::clone(person),
            balance.to_string(),
            diagnosis.versions.get(person).copied().unwrap_or_default(),
        );
        self.kv.put(put, diagnosis.epoch()).await.map(drop)
    }

    /// Changes balances in `epoch`, and keeps a record of each change: in one transaction, for what is half
    /// booked would be booked twice by whoever tries again.
    async fn book(
        &self,
        corrections: &[Correction],
        epoch: Option<u64>,
    ) -> Result<(), RepairError> {
        let (mut cells, mut puts) = (BTreeMap::new(), Vec::new());
        for Correction { person, by } in corrections {
            let uncorrectable = || RepairError::Uncorrectable {
                person: person.to_string(),
                by: *by,
            };
            let key = person.to_shared();
            if !cells.contains_key(&key) {
                let read = self.kv.get(Arc::clone(&key)).await;
                let (stored, _) = read.map_err(RepairError::NotBooked)?;
                let cell = Cell::parse(&key, &stored).ok_or_else(uncorrectable)?;
                cells.insert(Arc::clone(&key), (cell, stored.version));
            }
            if let Some((cell, _)) = cells.get_mut(&key) {
                *cell = cell.changed(*by).ok_or_else(uncorrectable)?;
            }
            puts.push(booked(person, *by));
        }
        let record = Arc::clone(&puts[0].key);
        let changed = |(key, (cell, version)): (_, (Cell, _))| Put::new(key, cell.value(), version);
        puts.extend(cells.into_iter().map(changed));
        match self.kv.transaction(puts, epoch).await {
            Ok(_) => Ok(()),
            // It may have arrived twice, or its answer was lost.
            Err(error @ (KvError::Conflict(_) | KvError::Unknown(_))) => {
                match self.was_booked(record, epoch).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(RepairError::NotBooked(error)),
                    Err(error) => Err(RepairError::InDoubt(error)),
                }
            }
            Err(error) => Err(RepairError::NotBooked(error)),
        }
    }

    /// Whether the transaction that creates `record` was made. If not, it never will be: an empty record
    /// keeps it out.
    async fn was_booked(&self, record: Key, epoch: Option<u64>) -> Result<bool, KvError> {
        let empty = Put::new(Arc::clone(&record), "", 0);
        match self.kv.put(empty, epoch).await {
            Ok(_) => Ok(false),
            Err(KvError::Conflict(_)) => {
                let (record, _) = self.kv.get(record).await?;
                Ok(!record.value.is_empty())
            }
            Err(error) => Err(error),
        }
    }
}

/// The record of a correction.
fn booked(person: &Name, by: i64) -> Put {
    let booked = Booked {
        person: person.to_string(),
        by,
    };
    let json = serde_json::to_string(&booked).expect("text and numbers are always JSON");
    Put::new(format!("{CORRECTIONS}{}", Uuid::now_v7()), json, 0)
}

/// What `entries`, which are everything that the store holds, say of the ledger.
fn diagnose(entries: Vec<Entry>, stamp: Option<Stamp>) -> Diagnosis {
    let mut recorded = BTreeMap::<Key, i64>::new();
    let mut known = HashSet::new();
    let mut move_amount = |sender: &str, receiver: &str, amount: i64| {
        *recorded.entry(sender.into()).or_default() += amount;
        *recorded.entry(receiver.into()).or_default() -= amount;
    };
    for Entry { key, value, .. } in &entries {
        if let Some(id) = key.strip_prefix(record::PREFIX)
            && let Ok(record) = serde_json::from_str::<Record<'_>>(value)
        {
            known.insert(id.to_owned());
            if record.result == Outcome::Done {
                move_amount(&record.sender, &record.receiver, record.amount);
            }
        }
    }
    let versions = entries
        .iter()
        .map(|entry| (Arc::clone(&entry.key), entry.version))
        .collect();
    let corrections: Vec<Booked> = entries
        .iter()
        .filter(|entry| entry.key.starts_with(CORRECTIONS))
        .filter_map(|entry| serde_json::from_str(&entry.value).ok())
        .collect();
    let snapshot = Snapshot::new(entries, stamp);
    for open in snapshot.open() {
        if !known.contains(&open.id.to_string()) && open.mark != Some(MarkKind::Fence) {
            let transfer = &open.transfer;
            let (sender, receiver) = (transfer.sender().as_str(), transfer.receiver().as_str());
            move_amount(sender, receiver, transfer.amount().get());
        }
    }
    for Booked { person, by } in corrections {
        *recorded.entry(person.into()).or_default() += by;
    }
    let mut diagnosis = Diagnosis {
        sum: snapshot.sum(),
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
        match recorded.remove(&account.holder) {
            Some(balance) if balance == account.balance => {}
            Some(balance) => {
                let holder = Arc::clone(&account.holder);
                diagnosis
                    .differences
                    .push((holder, Some(account.balance), balance));
            }
            None if account.balance == 0 => {}
            None => diagnosis.without_records.push(Arc::clone(&account.holder)),
        }
    }
    let missing = recorded.into_iter().filter(|(_, balance)| *balance != 0);
    diagnosis
        .differences
        .extend(missing.map(|(person, balance)| (person, None, balance)));
    diagnosis.snapshot = snapshot;
    diagnosis
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
