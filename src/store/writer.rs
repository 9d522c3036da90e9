use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task;
use tokio::time::Instant;

use super::state::{self, Changes, Draft};
use super::{Backend, Fault, Refusal, Snapshot, Stamp, Write, WriteError};
use crate::metrics::CommitMetrics;

/// How many writes one commit takes at the most: bounds its time and its memory.
const BATCH: usize = 1024;

/// A batch is cut when this many yields in a row have brought no further write. On a runtime, tasks that
/// are about to write get their turn first, so that they share this commit instead of waiting for the
/// next; measured in memory: twice the transfers a second. A writer on a thread of its own yields to
/// nobody: there, what comes while a commit is made durable is the next batch.
const QUIET_YIELDS: u32 = 3;

/// A write and who waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    write: Write,
    answer: oneshot::Sender<Result<Stamp, WriteError>>,
}

impl Waiting {
    pub(super) fn new(write: Write) -> (Self, oneshot::Receiver<Result<Stamp, WriteError>>) {
        let (answer, receiver) = oneshot::channel();
        (Self { write, answer }, receiver)
    }
}

/// The one writer of a store: folds the writes that wait into one commit (group commit).
#[derive(Debug)]
pub struct Writer<B: Backend> {
    queue: mpsc::Receiver<Waiting>,
    backend: B,
    /// Who is told how long commits take, if anybody.
    commits: Option<Arc<CommitMetrics>>,
}

impl<B: Backend> Writer<B> {
    pub(super) fn new(queue: mpsc::Receiver<Waiting>, backend: B) -> Self {
        Self {
            queue,
            backend,
            commits: None,
        }
    }

    /// The same, with somebody who is told how long commits take.
    #[must_use]
    pub fn observed(self, commits: Arc<CommitMetrics>) -> Self {
        self.backend.observe_syncs(&commits);
        Self {
            commits: Some(commits),
            ..self
        }
    }

    /// Writes until the last handle of the store is dropped.
    ///
    /// # Errors
    ///
    /// [`Fault`] when a commit failed, or may have failed. Nobody who waits is told that a write
    /// was made or was not made, for it is not known; the process should end, and the next start
    /// shows it.
    pub async fn run(mut self) -> Result<(), Fault> {
        let mut batch = Vec::with_capacity(BATCH);
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            self.gather(&mut batch).await;
            self.write(&mut batch)?;
        }
        Ok(())
    }

    /// Adds the writes that are about to arrive.
    async fn gather(&mut self, batch: &mut Vec<Waiting>) {
        let mut quiet = 0;
        while quiet < QUIET_YIELDS {
            task::yield_now().await;
            let before = batch.len();
            while batch.len() < BATCH
                && let Ok(waiting) = self.queue.try_recv()
            {
                batch.push(waiting);
            }
            quiet = if batch.len() > before { 0 } else { quiet + 1 };
        }
    }

    /// Decides the batch in order, commits it, and answers. A reset is a commit of its own.
    fn write(&mut self, batch: &mut Vec<Waiting>) -> Result<(), Fault> {
        let mut draft = Draft::new(&self.backend);
        let mut answers = Vec::with_capacity(batch.len());
        for Waiting { write, answer } in batch.drain(..) {
            match write {
                Write::Puts { puts, epoch } => {
                    answers.push((answer, draft.put(&mut self.backend, &puts, epoch)?));
                }
                Write::Reset { epoch } => {
                    if let Err(refusal) = draft.accepts(epoch) {
                        answers.push((answer, Err(refusal)));
                        continue;
                    }
                    self.commit(draft, &mut answers)?;
                    let result = self.reset()?;
                    answers.push((answer, result));
                    draft = Draft::new(&self.backend);
                }
            }
        }
        self.commit(draft, &mut answers)?;
        self.backend.tidy()
    }

    fn commit(&mut self, draft: Draft<B>, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        if !draft.is_empty() {
            self.make_durable(draft.into_changes())?;
        }
        for (answer, result) in answers.drain(..) {
            // Nobody may be waiting any more; the write stands all the same.
            let _ = answer.send(result.map_err(WriteError::Refused));
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<Result<Stamp, Refusal>, Fault> {
        if let Err(fault) = self.backend.keep_before_reset() {
            tracing::error!(%fault, "no reset: the copy that is kept before it could not be written");
            return Ok(Err(Refusal::CopyFailed));
        }
        let changes = state::reset(self.backend.newest().snapshot().stamp());
        let stamp = changes.stamp;
        self.make_durable(changes)?;
        Ok(Ok(stamp))
    }

    /// One commit, which readers see then.
    fn make_durable(&mut self, changes: Changes) -> Result<(), Fault> {
        let begun = self.commits.as_ref().map(|_| Instant::now());
        self.backend.commit(changes)?;
        if let (Some(commits), Some(begun)) = (&self.commits, begun) {
            commits.committed(begun.elapsed());
        }
        Ok(())
    }
}

type Answer = (
    oneshot::Sender<Result<Stamp, WriteError>>,
    Result<Stamp, Refusal>,
);
