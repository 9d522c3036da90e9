use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use resilient::compensate::Standing;
use tokio::time::Instant;
use tower::Service;

use super::cell::{self, Cell, MarkKind};
use super::error::Cause;
use super::places::{AT_ONCE, Held, Sight};
use super::record::{self, Outcome};
use super::rules::Rules;
use super::step::{Change, Step};
use crate::kv::{Conflict, Kv, KvError};

/// One attempt at one step of a transfer over two cells: looks at the cell, then at what the step
/// depends on, decides, and puts the cell if it still is what was seen. It is always ready.
///
/// | Step | Cell | Guard, seen after the cell |
/// |---|---|---|
/// | credit, seal | sender's: it is not in the outbox | its record: there is none |
/// | debit, fence | receiver's: there is no mark | sender's: it is in the outbox |
/// | retire, undo | sender's: it is in the outbox | its record, which is written before |
/// | prune | receiver's: there is a mark | sender's: it is not in the outbox |
///
/// So a step that was made is not made again, whoever made it, and one that comes late finds another
/// version. Whoever calls has the turn of the cell, so that those of one process do not conflict.
#[derive(Clone, Debug)]
pub(super) struct Adjust {
    kv: Kv,
    rules: Rules,
}

impl Adjust {
    pub(super) fn new(kv: Kv, rules: Rules) -> Self {
        Self { kv, rules }
    }

    async fn attempt(&self, step: &Step) -> Result<Standing, Cause> {
        step.posting.tries_again();
        for _ in 1..AT_ONCE {
            match self.once(step).await {
                Err(Cause::Store(KvError::Conflict(Conflict::Version { .. }))) => {}
                other => return other,
            }
        }
        self.once(step).await
    }

    async fn once(&self, step: &Step) -> Result<Standing, Cause> {
        match step.change {
            Change::Credit => self.credit(step).await,
            Change::Seal => self.seal(step).await,
            Change::Debit => self.mark(step, MarkKind::In).await,
            Change::Fence => self.mark(step, MarkKind::Fence).await,
            Change::Record(outcome) => self.record(step, outcome).await,
            Change::Retire => self.leave_outbox(step, 0).await,
            Change::Undo => {
                let amount = step.posting.transfer.amount().get();
                self.leave_outbox(step, -amount).await
            }
            Change::Prune => self.prune(step).await,
        }
    }

    async fn credit(&self, step: &Step) -> Result<Standing, Cause> {
        let Step {
            posting, parties, ..
        } = step;
        if posting.was_found() {
            return Ok(Standing::Made);
        }
        let (sender, receiver) = match posting.was_sent() {
            // The bounds were looked at before the first one was sent.
            true => (parties.sender.sight().await?, None),
            // One after the other: a store in trouble gets one request of each transfer, not two.
            false => {
                let sender = parties.sender.sight().await?;
                (sender, Some(parties.receiver.sight().await?))
            }
        };
        // Since the first one was sent, it may have been made, and seen, before the ledger was reset.
        same_ledger(step, &sender, &parties.sender)?;
        if sender.cell.sends(posting.id) {
            return Ok(Standing::Made);
        }
        if let Some(standing) = self.recorded(step).await? {
            return Ok(standing);
        }
        if posting.is_late(Instant::now()) {
            return Err(Cause::Late);
        }
        let amount = posting.transfer.amount().get();
        if let Some(receiver) = receiver {
            if receiver.epoch != sender.epoch {
                // One of them is from before a reset.
                parties.forget();
                return Err(KvError::Conflict(Conflict::somewhere()).into());
            }
            if receiver.cell.changed(-amount).is_none() {
                // It may be long ago that it was so.
                in_range(&parties.receiver.look().await?, -amount, &parties.receiver)?;
            }
        }
        if sender.cell.changed(amount).is_none() {
            in_range(&parties.sender.look().await?, amount, &parties.sender)?;
            return Err(KvError::Conflict(Conflict::somewhere()).into());
        }
        if sender.cell.outbox.len() >= cell::OUTBOX {
            parties.sender.forget();
            return Err(full(&parties.sender));
        }
        if posting.is_of_another(sender.epoch) {
            // It may have been seen before a reset of which the claim of the transfer's name knows.
            if posting.is_of_another(parties.sender.look().await?.epoch) {
                return Ok(Standing::Never);
            }
            parties.receiver.forget();
            return Err(KvError::Conflict(Conflict::somewhere()).into());
        }
        let is_first = !posting.was_sent();
        if !posting.may_send(sender.epoch) {
            return Ok(Standing::Never);
        }
        let credited = in_range(&sender, amount, &parties.sender)?;
        let credited = credited.sending(posting.id, &posting.transfer);
        match parties.sender.put(&sender, credited).await {
            Err(Cause::Store(KvError::Conflict(Conflict::Version { .. })))
                if !self.rules.conflict_is_doubt =>
            {
                Ok(Standing::Never)
            }
            Err(
                error @ Cause::Store(
                    KvError::Unavailable(_) | KvError::Conflict(Conflict::Epoch { .. }),
                ),
            ) if is_first => {
                // If the ledger was reset, it will be made wholly after that.
                posting.takes_back_first();
                Err(error)
            }
            put => put.map(|()| Standing::Made),
        }
    }

    async fn seal(&self, step: &Step) -> Result<Standing, Cause> {
        let Step {
            posting, parties, ..
        } = step;
        let sender = parties.sender.sight().await?;
        same_ledger(step, &sender, &step.parties.sender)?;
        if sender.cell.sends(posting.id) {
            return Ok(Standing::Made);
        }
        if let Some(standing) = self.recorded(step).await? {
            return Ok(standing);
        }
        if self.rules.seal_before_not_applied {
            parties.sender.put(&sender, sender.cell.sealed()).await?;
        }
        Ok(Standing::Never)
    }

    /// Debits, or keeps the debit out.
    async fn mark(&self, step: &Step, kind: MarkKind) -> Result<Standing, Cause> {
        let Step {
            posting, parties, ..
        } = step;
        if kind == MarkKind::Fence && !self.rules.fence_before_undo {
            return Ok(Standing::Never);
        }
        let (receiver, sender) = self.receiver_then_sender(step).await?;
        match receiver.cell.mark(posting.id) {
            Some(MarkKind::In) => return Ok(Standing::Made),
            Some(MarkKind::Fence) => return Ok(Standing::Never),
            None => {}
        }
        let sends = |cell: &Cell| cell.sends(posting.id);
        let sender = parties.sender.or_look(sender, sends).await?;
        same_ledger(step, &sender, &parties.sender)?;
        if !sends(&sender.cell) {
            // Somebody has finished it.
            let recorded = record::read(&self.kv, posting.id).await?;
            return recorded.map(Standing::from).ok_or(Cause::Contradiction);
        }
        if receiver.cell.inbox.len() >= cell::INBOX {
            parties.receiver.forget();
            return Err(full(&parties.receiver));
        }
        let (cell, standing) = match kind {
            MarkKind::In => {
                let amount = posting.transfer.amount().get();
                let Some(cell) = receiver.cell.changed(-amount) else {
                    // It may be long ago that it was so.
                    in_range(&parties.receiver.look().await?, -amount, &parties.receiver)?;
                    return Err(KvError::Conflict(Conflict::somewhere()).into());
                };
                (cell, Standing::Made)
            }
            MarkKind::Fence => (receiver.cell.unsealed(), Standing::Never),
        };
        let cell = cell.marked(posting.id, &posting.transfer, kind);
        parties.receiver.put(&receiver, cell).await?;
        Ok(standing)
    }

    async fn record(&self, step: &Step, outcome: Outcome) -> Result<Standing, Cause> {
        let posting = &step.posting;
        let create = record::create(posting.id, &posting.transfer, outcome);
        match self.kv.put(create, posting.epoch()).await {
            Ok(_) => Ok(Standing::Made),
            Err(KvError::Conflict(Conflict::Version { .. })) => {
                match record::read(&self.kv, posting.id).await? {
                    Some(recorded) if recorded == outcome => Ok(Standing::Made),
                    Some(_) => Err(Cause::Contradiction),
                    None => Err(KvError::Conflict(Conflict::somewhere()).into()),
                }
            }
            Err(KvError::Conflict(Conflict::Epoch { .. })) => Err(Cause::Reset),
            Err(error) => Err(error.into()),
        }
    }

    async fn leave_outbox(&self, step: &Step, delta: i64) -> Result<Standing, Cause> {
        let Step {
            posting, parties, ..
        } = step;
        let sender = parties.sender.sight().await?;
        let sends = |cell: &Cell| cell.sends(posting.id);
        let sender = parties.sender.or_look(sender, sends).await?;
        same_ledger(step, &sender, &parties.sender)?;
        if sends(&sender.cell) {
            let mut cell = sender.cell.sent(posting.id);
            // Not held to the range that is counted: it was within it before the credit.
            let balance = cell.balance.checked_add(delta);
            cell.balance = balance.ok_or_else(|| out_of_range(&parties.sender))?;
            parties.sender.put(&sender, cell).await?;
        }
        Ok(Standing::Made)
    }

    async fn prune(&self, step: &Step) -> Result<Standing, Cause> {
        let Step {
            posting, parties, ..
        } = step;
        let receiver = parties.receiver.sight().await?;
        let is_marked = |cell: &Cell| cell.mark(posting.id).is_some();
        let receiver = parties.receiver.or_look(receiver, is_marked).await?;
        same_ledger(step, &receiver, &step.parties.receiver)?;
        if !is_marked(&receiver.cell) {
            return Ok(Standing::Made);
        }
        let sender = parties.sender.sight_after(&receiver).await?;
        let has_left = |cell: &Cell| !cell.sends(posting.id);
        let sender = parties.sender.or_look(sender, has_left).await?;
        same_ledger(step, &sender, &step.parties.sender)?;
        if !has_left(&sender.cell) && self.rules.retire_before_prune {
            return Err(Cause::Contradiction);
        }
        let cell = receiver.cell.pruned(posting.id);
        parties.receiver.put(&receiver, cell).await?;
        Ok(Standing::Made)
    }

    async fn receiver_then_sender(&self, step: &Step) -> Result<(Sight, Sight), Cause> {
        let parties = &step.parties;
        let (receiver, sender) = if self.rules.guard_after_cell {
            let receiver = parties.receiver.sight().await?;
            let sender = match self.rules.guard_for_each_try {
                // Of a transfer that this process has begun, nobody else has put a mark there, or
                // removed one, since what this process has built the cell on; and this process
                // removes it only when it has ended.
                true if !step.posting.was_found() => {
                    parties.sender.sight_after_base_of(&receiver).await?
                }
                true => parties.sender.sight_after(&receiver).await?,
                false => parties.sender.sight().await?,
            };
            (receiver, sender)
        } else {
            let sender = parties.sender.sight().await?;
            (parties.receiver.sight().await?, sender)
        };
        same_ledger(step, &receiver, &step.parties.receiver)?;
        same_ledger(step, &sender, &step.parties.sender)?;
        Ok((receiver, sender))
    }

    /// What the record tells of a transfer that is in no outbox, if it may ever have been in one.
    async fn recorded(&self, step: &Step) -> Result<Option<Standing>, Cause> {
        if !step.posting.was_sent() || !self.rules.record_tells {
            return Ok(None);
        }
        let recorded = record::read(&self.kv, step.posting.id).await?;
        Ok(recorded.map(Standing::from))
    }
}

impl Service<Step> for Adjust {
    type Response = Standing;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Standing, Cause>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, step: Step) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.attempt(&step).await })
    }
}

impl From<Outcome> for Standing {
    fn from(recorded: Outcome) -> Self {
        match recorded {
            Outcome::Done => Self::Made,
            Outcome::Undone => Self::Never,
        }
    }
}

/// Whether `sight`, of the cell at `place`, is of the ledger in which the transfer was begun.
fn same_ledger(step: &Step, sight: &Sight, place: &Held) -> Result<(), Cause> {
    match step.posting.was_sent() && step.posting.epoch() != sight.epoch {
        true => Err(another_ledger(step, sight, place)),
        false => Ok(()),
    }
}

/// What is to be done where `sight` is of another ledger: look again if it was an earlier one.
fn another_ledger(step: &Step, sight: &Sight, place: &Held) -> Cause {
    if sight.epoch < step.posting.epoch() {
        place.forget();
        KvError::Conflict(Conflict::somewhere()).into()
    } else {
        Cause::Reset
    }
}

/// The cell of `sight` with its balance changed by `delta`.
fn in_range(sight: &Sight, delta: i64, place: &Held) -> Result<Cell, Cause> {
    let changed = sight.cell.changed(delta);
    changed.ok_or_else(|| out_of_range(place))
}

fn out_of_range(place: &Held) -> Cause {
    Cause::OutOfRange {
        person: Arc::clone(&place.key),
    }
}

fn full(place: &Held) -> Cause {
    Cause::Full {
        person: Arc::clone(&place.key),
    }
}
