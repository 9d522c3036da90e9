use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use resilient::compensate::{Compensate, Outcome as Ended, Standing};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt, service_fn};

use super::error::{Cause, Failed};
use super::places::Places;
use super::posting::Posting;
use super::record::Outcome;
use super::rules::Rules;
use super::step::{Change, Step};
use super::underway::{InHand, Underway};

/// A service that makes steps of transfers.
pub(super) type Steps = BoxCloneSyncService<Step, Standing, Cause>;

/// Makes a transfer in single puts: credits the sender, who remembers that the receiver is still to
/// be debited; debits the receiver; then writes down that it is done, and puts both cells to rest.
///
/// Whatever fails between the two, either the debit is made after all, or it is kept out for good
/// and the credit is taken back. What cannot be finished now stays in the cells, where every replica
/// finds it.
#[derive(Clone, Debug)]
pub(super) struct Saga {
    /// Credit and debit, and what keeps them out or takes them back.
    plan: Compensate<Steps, Steps>,
    /// What is done when it is clear what becomes of the transfer.
    patient: Steps,
    places: Arc<Places>,
    underway: Arc<Underway>,
    undo_within: Duration,
    rules: Rules,
}

impl Saga {
    pub(super) fn new(
        steps: Steps,
        patient: Steps,
        places: Arc<Places>,
        underway: Arc<Underway>,
        undo_within: Duration,
        rules: Rules,
    ) -> Self {
        let back = patient.clone();
        let take_back = service_fn(move |step| take_back(back.clone(), step));
        Self {
            plan: Compensate::new(steps, Steps::new(take_back)),
            patient,
            places,
            underway,
            undo_within,
            rules,
        }
    }

    /// Sees `posting` through, which `in_hand` keeps others of this process from.
    pub(super) async fn see_through(
        mut self,
        posting: Posting,
        in_hand: InHand,
    ) -> Result<(), Failed> {
        let credit = Step::first(posting.clone(), &self.places, self.undo_within);
        let _seats = match posting.was_sent() {
            // It is in the cells already.
            true => {
                credit.parties.forget();
                None
            }
            false => Some(self.seats(&credit).await?),
        };
        let (ended, cause) = match posting.ended() {
            Some(outcome) => (outcome, None),
            None => match self.decide(&credit).await {
                Ok(decided) => decided,
                Err(failed) if failed.cause.is_past() => {
                    in_hand.finish();
                    return Err(failed);
                }
                Err(failed) => return Err(failed),
            },
        };
        posting.end(ended);
        // There is nothing to put away where nothing was sent.
        let put_away = match posting.was_sent() {
            true => self.put_away(&credit, ended).await,
            false => Ok(()),
        };
        match put_away {
            Err(cause) if !cause.is_past() => {
                tracing::debug!(id = %posting.id, cause = cause.kind(), ?ended, "a transfer is left open");
            }
            _ => in_hand.finish(),
        }
        match ended {
            Outcome::Done => Ok(()),
            Outcome::Undone => Err(Failed::certain(cause.unwrap_or(Cause::Undone))),
        }
    }

    /// Waits for a seat in each of the two cells, in an order that is the same for all.
    async fn seats(&self, step: &Step) -> Result<[OwnedSemaphorePermit; 2], Failed> {
        let mut places = [&step.parties.sender, &step.parties.receiver];
        places.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        let [first, second] = places.map(|place| Arc::clone(&place.seats).acquire_owned());
        let both = async { Some([first.await.ok()?, second.await.ok()?]) };
        match timeout_at(step.posting.try_until, both).await {
            Ok(Some(seats)) => Ok(seats),
            // Nobody closes the seats.
            Ok(None) | Err(_) => Err(match step.posting.give_up() {
                true => Failed::certain(Cause::Late),
                false => Failed::in_doubt(Cause::Late),
            }),
        }
    }

    /// Makes the transfer, or sees to it that it never will be made.
    async fn decide(&mut self, credit: &Step) -> Result<(Outcome, Option<Cause>), Failed> {
        let posting = &credit.posting;
        let plan = vec![credit.clone(), credit.to(Change::Debit)];
        let ended = match self.plan.ready().await {
            Ok(ready) => ready.call(plan).await,
            Err(cause) => Err(cause),
        };
        // Whoever takes it up again from here on does not begin it anew.
        posting.answer();
        match ended.map_err(Failed::certain)? {
            Ended::Done => Ok((Outcome::Done, None)),
            Ended::Undone { cause } => Ok((Outcome::Undone, cause)),
            // It is fenced: it never will be made, and everybody who reads sees it so. What is left to
            // do is tried again below.
            Ended::Stuck { cause, .. } => Ok((Outcome::Undone, cause)),
            // A reset wipes out what is open. It may have been made before, and whoever read saw it so.
            Ended::Unknown {
                fence: Cause::Reset,
                ..
            } => Err(Failed::in_doubt(Cause::Reset)),
            Ended::Unknown { cause, .. } => Err(Failed::in_doubt(cause)),
        }
    }

    /// Writes down how it ended, and puts the cells to rest.
    async fn put_away(&mut self, step: &Step, ended: Outcome) -> Result<(), Cause> {
        let leave = match ended {
            Outcome::Done => Change::Retire,
            Outcome::Undone => Change::Undo,
        };
        let mut changes = [Change::Record(ended), leave, Change::Prune];
        if !self.rules.record_before_retire {
            changes.swap(0, 1);
        }
        if !self.rules.retire_before_prune {
            changes.swap(1, 2);
        }
        for change in changes {
            self.make(step.to(change)).await?;
        }
        match ended {
            Outcome::Done => Ok(()),
            // It may have been a seal that kept it out.
            Outcome::Undone => step.parties.sender.rest().await,
        }
    }

    async fn make(&mut self, step: Step) -> Result<Standing, Cause> {
        self.patient.ready().await?.call(step).await
    }

    /// Removes the mark of a transfer that is in no outbox any more.
    pub(super) async fn prune(mut self, posting: Posting) -> Result<(), Cause> {
        let step = Step::first(posting, &self.places, self.undo_within);
        self.make(step.to(Change::Prune)).await.map(drop)
    }
}

/// Keeps a step out, or takes the credit back; before that the record says for good that it is so.
async fn take_back(mut patient: Steps, step: Step) -> Result<Standing, Cause> {
    // Here, and not below: what asks nothing of the store must earn no retries.
    if step.change == Change::Seal && step.posting.give_up() {
        return Ok(Standing::Never);
    }
    if step.change == Change::Undo {
        let record = step.to(Change::Record(Outcome::Undone));
        patient.ready().await?.call(record).await?;
    }
    patient.ready().await?.call(step).await
}

impl Service<Posting> for Saga {
    type Response = ();
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, posting: Posting) -> Self::Future {
        let this = self.clone();
        match self.underway.take(&posting) {
            Some(in_hand) => Box::pin(this.see_through(posting, in_hand)),
            None => Box::pin(async { Err(Failed::in_doubt(Cause::Contradiction)) }),
        }
    }
}
