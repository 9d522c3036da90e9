use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::JoinSet;
use tower::Service;

use super::batch::Batch;
use super::cell::Cell;
use super::draft::{Draft, People};
use super::error::Cause;
use super::record::{self, Outcome};
use super::remembered::{Remembered, Sight};
use super::rules::Rules;
use crate::kv::{Conflict, Entry, Key, Kv, KvError, Stamp, Versioned};

/// One attempt at a batch of transfers: all balances and records change at once, or nothing does.
///
/// The records are created under the transfers' ids, so a write that arrives twice, or late, is
/// refused by the store. It is always ready.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    kv: Kv,
    remembered: Arc<Remembered>,
    rules: Rules,
}

impl Transaction {
    pub(super) fn new(kv: Kv, rules: Rules) -> Self {
        Self {
            kv,
            remembered: Arc::default(),
            rules,
        }
    }

    async fn attempt(&self, batch: &Batch) -> Result<(), Cause> {
        let postings = batch.postings();
        if batch.may_land()
            && let Some(first) = postings.first()
        {
            // Before the balances: if it lands after this, its records refuse the write below.
            match record::read(&self.kv, first.id).await?.0 {
                Some(Outcome::Done) => return Ok(()),
                Some(Outcome::Undone) => return Err(Cause::Undone),
                None => {}
            }
        }
        let (draft, epoch) = self.draft(batch).await?;
        let mut puts = draft.puts();
        let records = postings
            .iter()
            .map(|posting| record::create(posting.id, &posting.transfer, Outcome::Done));
        puts.extend(records);

        let was_out = !batch.may_land();
        batch.sends();
        match self.kv.transaction(puts, epoch).await {
            Ok(_) => {
                self.remembered.put(epoch, draft.after());
                Ok(())
            }
            Err(KvError::Conflict(Conflict::Version { moved })) if !moved.is_empty() => {
                self.refused(batch, draft, epoch, moved)
            }
            Err(error) => {
                let had_no_effect = matches!(error, KvError::Unavailable(_) | KvError::Invalid(_));
                if had_no_effect && was_out {
                    batch.cannot_land();
                    self.remembered.put(epoch, draft.before());
                }
                Err(error.into())
            }
        }
    }

    /// The cells as they are to be, and the epoch that they are of.
    async fn draft(&self, batch: &Batch) -> Result<(Draft, Option<u64>), Cause> {
        let postings = batch.postings();
        let transfers = || postings.iter().map(|posting| &posting.transfer);
        let mut draft = Draft::of(transfers());
        let mut sights = Vec::new();
        let remembered = self
            .remembered
            .take(draft.keys(), |sight| sights.push(sight));
        let is_any_known = sights.iter().any(Option::is_some);
        for (at, sight) in sights.into_iter().enumerate() {
            draft.remember(at, sight);
        }
        let mut epoch = is_any_known.then_some(remembered);
        self.read(draft.unknown(), &mut draft, &mut epoch).await?;
        let mut refused = loop {
            match draft.make(transfers()) {
                Ok(refused) => break refused,
                Err(doubtful) => self.read(doubtful, &mut draft, &mut epoch).await?,
            }
        };
        let epoch = epoch.flatten();
        if refused.is_empty() {
            refused = withdrawn(batch, epoch);
        }
        match refused.is_empty() {
            true => Ok((draft, epoch)),
            false => {
                batch.refuse(refused);
                self.remembered.put(epoch, draft.before());
                Err(Cause::Parted)
            }
        }
    }

    /// Reads what `people` have, all of which must be of one epoch with what is known.
    async fn read(
        &self,
        people: People,
        draft: &mut Draft,
        epoch: &mut Option<Option<u64>>,
    ) -> Result<(), Cause> {
        let mut people = people.into_iter();
        let Some((at, key)) = people.next() else {
            return Ok(());
        };
        // One alone first: a store in trouble is not asked many things at once.
        let first = look(self.kv.clone(), at, key).await?;
        note(first, draft, epoch)?;
        let mut reading = JoinSet::new();
        for (at, key) in people {
            reading.spawn(look(self.kv.clone(), at, key));
        }
        while let Some(looked) = reading.join_next().await {
            let looked = looked.map_err(|lost| KvError::Unavailable(lost.into()))?;
            note(looked?, draft, epoch)?;
        }
        Ok(())
    }

    /// A write was refused, and the store told all that stood against it.
    fn refused(
        &self,
        batch: &Batch,
        mut draft: Draft,
        epoch: Option<u64>,
        moved: Vec<Entry>,
    ) -> Result<(), Cause> {
        let (records, cells): (Vec<_>, Vec<_>) = moved
            .into_iter()
            .partition(|entry| entry.key.starts_with(record::PREFIX));
        if let Some(recorded) = records.first()
            && self.rules.conflict_is_doubt
        {
            // It was made before, or kept out: a part of it cannot have been.
            return match record::parse(&recorded.value) {
                Some(Outcome::Done) => Ok(()),
                Some(Outcome::Undone) => Err(Cause::Undone),
                None => Err(Cause::Contradiction),
            };
        }
        // Nothing of it was there, and the versions that its writes name have passed.
        batch.cannot_land();
        for Entry {
            key,
            value,
            version,
        } in cells
        {
            let stored = Versioned { value, version };
            let cell = Cell::parse(&key, &stored);
            draft.has_moved(&key, cell.map(|cell| Sight { cell, version }));
        }
        self.remembered.put(epoch, draft.before());
        Err(KvError::Conflict(Conflict::somewhere()).into())
    }
}

impl Service<Batch> for Transaction {
    type Response = ();
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<(), Cause>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            for posting in batch.postings() {
                posting.tries_again();
            }
            this.attempt(&batch).await
        })
    }
}

/// What was read: of whom, the cell (`None` if it is none), and when.
type Looked = (usize, Option<Sight>, Option<Stamp>);

async fn look(kv: Kv, at: usize, key: Key) -> Result<Looked, KvError> {
    let (stored, stamp) = kv.get(Arc::clone(&key)).await?;
    let version = stored.version;
    let cell = Cell::parse(&key, &stored);
    Ok((at, cell.map(|cell| Sight { cell, version }), stamp))
}

/// Notes what was read, unless the ledger was reset between this and what is known.
fn note(
    (at, sight, stamp): Looked,
    draft: &mut Draft,
    epoch: &mut Option<Option<u64>>,
) -> Result<(), KvError> {
    let read_in = stamp.map(|stamp| stamp.epoch);
    if *epoch.get_or_insert(read_in) != read_in {
        return Err(KvError::Conflict(Conflict::somewhere()));
    }
    draft.read(at, sight);
    Ok(())
}

/// Those of `batch` for which nobody waits any more, or who may not be sent. None, once a write was
/// sent that may land: it is the whole batch or nothing.
fn withdrawn(batch: &Batch, epoch: Option<u64>) -> Vec<(usize, Cause)> {
    if batch.may_land() {
        return Vec::new();
    }
    let postings = batch.postings().iter().enumerate();
    postings
        .filter_map(|(at, posting)| match posting.is_late() {
            true => Some((at, Cause::Late)),
            false if !posting.may_send(epoch) => Some((at, Cause::Undone)),
            false => None,
        })
        .collect()
}
