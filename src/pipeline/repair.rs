use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Ledger;
use super::cell::Cell;
use super::diagnosis::{Booked, CORRECTIONS, Diagnosis, Examination};
use super::posting::Posting;
use crate::kv::{Key, KvError, Listed, Put, Range};
use crate::ledger::{MAX_BALANCE, Name};

/// A change of one balance that an operator has decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Whose.
    pub person: Name,
    /// By how much.
    pub by: i64,
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

/// Why transfers are refused while balances are changed, and after that until the ledger was found whole.
const UNDER_REPAIR: &str = "its repair was begun, and has not ended well so far";

impl Repair {
    fn changes_balances(&self) -> bool {
        self.from_records || !self.corrections.is_empty()
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
    /// Corrections of before have undone what others than this program had changed.
    #[error(
        "by the records and the corrections that were booked the balances sum to {sum}; name corrections instead"
    )]
    Unbalanced {
        /// To what they sum.
        sum: i128,
    },
    /// The balances would not sum to zero after the corrections.
    #[error(
        "with these corrections the balances would sum to {sum} instead of zero, so none was booked: all corrections together must come to {needed}"
    )]
    Lopsided {
        /// To what they would sum.
        sum: i128,
        /// What the corrections must sum to.
        needed: i128,
    },
    /// What the records say of some people is no balance.
    #[error(
        "by the records {person:?} has {balance}, which is no balance; name corrections instead"
    )]
    Spoiled {
        /// One of them.
        person: String,
        /// What the records say.
        balance: i128,
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
        let Listed::Entries(mut entries, stamp) = self.kv.list(Range::default(), None).await?
        else {
            return Err(KvError::Unavailable("nothing was listed".into()));
        };
        let mut examination = Examination::default();
        while let Some(page) = entries.next_page().await {
            page?.into_iter().for_each(|entry| examination.see(entry));
        }
        let mut diagnosis = examination.diagnosis(stamp);
        diagnosis.quarantine = quarantine;
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
        check(repair, &diagnosis)?;
        let epoch = diagnosis.snapshot.epoch();
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
            if diagnosis.snapshot.epoch() != epoch {
                return Err(RepairError::Reset);
            }
            if !diagnosis.is_at_rest() {
                return Err(RepairError::Open);
            }
        }
        check(repair, &diagnosis)?;
        if repair.from_records {
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
        match self.fuse.hold(UNDER_REPAIR, sum).await {
            Err(KvError::Conflict(_)) => return Err(RepairError::Contended),
            held => held?,
        }
        // By then every replica knows.
        sleep(self.options.patience.quarantine_poll * 2).await;
        Ok(())
    }

    async fn finish_open(&self, diagnosis: &Diagnosis) {
        let (epoch, try_within) = (diagnosis.snapshot.epoch(), self.options.patience.try_within);
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
    async fn set(&self, diagnosis: &Diagnosis, person: &Key, balance: i128) -> Result<(), KvError> {
        let put = Put::new(
            Arc::clone(person),
            balance.to_string(),
            diagnosis.version(person),
        );
        self.kv.put(put, diagnosis.snapshot.epoch()).await.map(drop)
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
        // The caller has made certain that there are some.
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

/// Whether what `repair` says can be done.
fn check(repair: &Repair, diagnosis: &Diagnosis) -> Result<(), RepairError> {
    let before = match repair.from_records {
        true => {
            check_records(diagnosis)?;
            diagnosis.recorded_sum
        }
        false => diagnosis.sum,
    };
    let booked = repair.corrections.iter().map(|one| i128::from(one.by));
    match before + booked.sum::<i128>() {
        sum if sum != 0 && !repair.corrections.is_empty() => Err(RepairError::Lopsided {
            sum,
            needed: -before,
        }),
        _ => Ok(()),
    }
}

/// Whether the records tell a balance of everybody who has one.
fn check_records(diagnosis: &Diagnosis) -> Result<(), RepairError> {
    if let Some(person) = diagnosis.without_records.first() {
        let person = person.to_string();
        return Err(RepairError::Incomplete { person });
    }
    if diagnosis.recorded_sum != 0 {
        let sum = diagnosis.recorded_sum;
        return Err(RepairError::Unbalanced { sum });
    }
    let is_balance = |recorded| i128::from(MAX_BALANCE) >= i128::abs(recorded);
    match diagnosis
        .differences
        .iter()
        .find(|difference| !is_balance(difference.2))
    {
        Some((person, _, balance)) => Err(RepairError::Spoiled {
            person: person.to_string(),
            balance: *balance,
        }),
        None => Ok(()),
    }
}
