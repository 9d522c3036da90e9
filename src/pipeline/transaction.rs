use std::collections::HashSet;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::Service;

use super::batch::Batch;
use super::draft::{Draft, People, Unmade};
use super::error::Cause;
use super::posting::Posting;
use super::record::{self, Outcome};
use super::remembered::{Known, Remembered};
use super::rules::Rules;
use crate::kv::{Conflict, Entry, Key, Kv, KvError, Stamp, Versioned};

/// How many cells are read at a time.
const READ_AT_ONCE: usize = 32;

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
    pub(super) fn new(kv: Kv, remembered: Arc<Remembered>, rules: Rules) -> Self {
        Self {
            kv,
            remembered,
            rules,
        }
    }

    async fn attempt(&self, batch: &Batch) -> Result<(), Cause> {
        let postings = batch.postings();
        if batch.may_land()
            && let Some(first) = postings.first()
        {
            // Before the balances: if it lands after this, its records refuse the write below.
            match record::read(&self.kv, first.id).await? {
                Some(Outcome::Done) => return Ok(()),
                Some(Outcome::Undone) => return Err(Cause::Undone),
                None => {}
            }
        }
        let (draft, epoch) = self.draft(batch).await?;
        let transfers = postings
            .iter()
            .map(|posting| (posting.id, &posting.transfer));
        // Mostly in the order of their keys, so that the store has little to sort.
        let cells = draft.puts();
        let mut puts = Vec::with_capacity(postings.len() + cells.len());
        puts.extend(record::create_all(transfers, Outcome::Done));
        puts.extend(cells);

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
                let is_past = matches!(error, KvError::Conflict(Conflict::Epoch { .. }));
                let had_no_effect = matches!(error, KvError::Unavailable(_) | KvError::Invalid(_));
                if (had_no_effect || is_past) && was_out {
                    batch.cannot_land();
                }
                if had_no_effect && was_out {
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
        let mut known = Vec::new();
        let epoch = self.remembered.take(draft.keys(), |one| known.push(one));
        let is_any = known.iter().any(Option::is_some);
        for (at, known) in known.into_iter().enumerate() {
            draft.remember(at, known);
        }
        let mut taken = Taken {
            remembered: &self.remembered,
            epoch: is_any.then_some(epoch),
            draft,
        };
        self.read(taken.draft.unknown(), &mut taken).await?;
        let mut unmade = loop {
            // First, for what is left out makes room for others.
            let late = late(batch);
            if !late.refused.is_empty() {
                break late;
            }
            match taken.draft.make(transfers()) {
                Ok(unmade) => break unmade,
                Err(doubtful) => self.read(doubtful, &mut taken).await?,
            }
        };
        let epoch = taken.epoch.flatten();
        if batch.was_sent_before(epoch) {
            return Err(Cause::Reset);
        }
        if is_any && postings.iter().any(|one| one.is_of_another(epoch)) {
            // It may be remembered from before a reset of which the claim of a transfer's name knows.
            taken.draft = Draft::default();
            return Err(KvError::Conflict(Conflict::somewhere()).into());
        }
        if unmade.is_none() {
            unmade = withdrawn(batch, epoch);
        }
        match unmade.is_none() {
            true => Ok(taken.keep()),
            false => {
                batch.parts_with(unmade);
                Err(Cause::Parted)
            }
        }
    }

    /// Reads what `people` have, all of which must be of one epoch with what is known.
    async fn read(&self, people: People, taken: &mut Taken<'_>) -> Result<(), Cause> {
        let mut people = people.into_iter();
        let Some((at, key)) = people.next() else {
            return Ok(());
        };
        // One alone first: a store in trouble is not asked many things at once.
        taken.note(look(self.kv.clone(), at, key).await?)?;
        let mut reading = JoinSet::new();
        loop {
            while reading.len() < READ_AT_ONCE
                && let Some((at, key)) = people.next()
            {
                reading.spawn(look(self.kv.clone(), at, key));
            }
            match reading.join_next().await {
                None => return Ok(()),
                Some(looked) => {
                    let looked = looked.map_err(|lost| KvError::Unavailable(lost.into()))?;
                    taken.note(looked?)?;
                }
            }
        }
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
                Some(Outcome::Undone) => Err(kept_out(batch, &records)),
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
            draft.has_moved(&key, Known::parse(&key, &stored));
        }
        self.remembered.put(epoch, draft.before());
        match batch.is_crowded_out() {
            true => Err(Cause::CrowdedOut),
            false => Err(KvError::Conflict(Conflict::somewhere()).into()),
        }
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
type Looked = (usize, Option<Known>, Option<Stamp>);

async fn look(kv: Kv, at: usize, key: Key) -> Result<Looked, KvError> {
    let (stored, stamp) = kv.get(Arc::clone(&key)).await?;
    Ok((at, Known::parse(&key, &stored), stamp))
}

/// What was taken out of what is remembered, and read, for a draft. Put back when it is dropped: nothing
/// was sent that is based on it.
struct Taken<'a> {
    remembered: &'a Remembered,
    /// `None` as long as nothing is known.
    epoch: Option<Option<u64>>,
    draft: Draft,
}

impl Taken<'_> {
    /// Notes what was read, unless the ledger was reset between this and what is known.
    fn note(&mut self, (at, known, stamp): Looked) -> Result<(), KvError> {
        let read_in = stamp.map(|stamp| stamp.epoch);
        if *self.epoch.get_or_insert(read_in) != read_in {
            // What is of the earlier one is of no use any more.
            self.draft = Draft::default();
            return Err(KvError::Conflict(Conflict::somewhere()));
        }
        self.draft.read(at, known);
        Ok(())
    }

    /// The draft, which a write is based on from now on, and its epoch.
    fn keep(mut self) -> (Draft, Option<u64>) {
        (mem::take(&mut self.draft), self.epoch.flatten())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let draft = mem::take(&mut self.draft);
        self.remembered.put(self.epoch.flatten(), draft.before());
    }
}

/// Parts those of `batch` who were undone, which `records` say, from the others: what was sent of it, it never
/// will be made as it is.
fn kept_out(batch: &Batch, records: &[Entry]) -> Cause {
    batch.cannot_land();
    let undone = records
        .iter()
        .filter(|entry| record::parse(&entry.value) == Some(Outcome::Undone));
    let undone: HashSet<&Key> = undone.map(|entry| &entry.key).collect();
    let postings = batch.postings().iter().enumerate();
    let refused = postings.filter(|(_, posting)| undone.contains(&record::key(posting.id)));
    batch.parts_with(Unmade {
        refused: refused.map(|(at, _)| (at, Cause::Undone)).collect(),
        put_off: Vec::new(),
    });
    Cause::Parted
}

/// Those of `batch` for which nobody waits any more. None, once a write was sent that may land: it is the
/// whole batch or nothing.
fn late(batch: &Batch) -> Unmade {
    let now = Instant::now();
    left_out(batch, || Cause::Late, |posting| posting.is_late(now))
}

/// Those of `batch` who were given up; all others may be sent from now on, based on `epoch`.
fn withdrawn(batch: &Batch, epoch: Option<u64>) -> Unmade {
    left_out(batch, || Cause::Undone, |posting| !posting.may_send(epoch))
}

fn left_out(batch: &Batch, cause: fn() -> Cause, is_out: impl Fn(&Posting) -> bool) -> Unmade {
    let mut unmade = Unmade::default();
    if !batch.may_land() {
        let postings = batch.postings().iter().enumerate();
        let out = postings.filter(|(_, posting)| is_out(posting));
        unmade.refused = out.map(|(at, _)| (at, cause())).collect();
    }
    unmade
}
