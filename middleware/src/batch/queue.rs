use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use tower::BoxError;

use super::{Full, Lost};

pub(super) type Answer<Response> = Result<Response, BoxError>;

/// A request that waits for a batch.
#[derive(Debug)]
pub(super) struct Waiting<Request, Response> {
    pub(super) request: Request,
    /// Before `answer`, and so dropped before it: who is told that it is lost finds its place free.
    pub(super) admission: Admission,
    pub(super) answer: oneshot::Sender<Answer<Response>>,
}

/// A place among the admitted, until it is dropped.
#[derive(Debug)]
pub(super) struct Admission {
    taken: Arc<AtomicUsize>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where requests are put. Clones are ends of the same queue.
#[derive(Debug)]
pub(super) struct Queue<Request, Response> {
    // One count for all, since services are cloned for each request, on all cores.
    entrance: Arc<Entrance<Request, Response>>,
}

#[derive(Debug)]
struct Entrance<Request, Response> {
    sender: mpsc::UnboundedSender<Waiting<Request, Response>>,
    /// Bounds what is in the channel, and what was taken out of it and is not answered yet.
    taken: Arc<AtomicUsize>,
    places: usize,
}

pub(super) type Receiver<Request, Response> = mpsc::UnboundedReceiver<Waiting<Request, Response>>;

/// A queue of at most `places` requests, and its other end.
pub(super) fn new<Request, Response>(
    places: usize,
) -> (Queue<Request, Response>, Receiver<Request, Response>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let entrance = Entrance {
        sender,
        taken: Arc::default(),
        places,
    };
    let entrance = Arc::new(entrance);
    (Queue { entrance }, receiver)
}

impl<Request, Response> Queue<Request, Response> {
    /// Puts `request` at the end, if there is a place.
    pub(super) fn push(
        &self,
        request: Request,
    ) -> Result<oneshot::Receiver<Answer<Response>>, BoxError> {
        let admission = self.admit()?;
        let (answer, receiver) = oneshot::channel();
        let waiting = Waiting {
            request,
            admission,
            answer,
        };
        self.entrance
            .sender
            .send(waiting)
            .map_err(|_| Lost::new())?;
        Ok(receiver)
    }

    pub(super) fn admitted(&self) -> usize {
        self.entrance.taken.load(Ordering::Relaxed)
    }

    fn admit(&self) -> Result<Admission, Full> {
        let Entrance { taken, places, .. } = &*self.entrance;
        // Given back by the drop, a place too many included.
        let before = taken.fetch_add(1, Ordering::Relaxed);
        let admission = Admission {
            taken: Arc::clone(taken),
        };
        match before < *places {
            true => Ok(admission),
            false => Err(Full::new(*places)),
        }
    }
}

impl<Request, Response> Clone for Queue<Request, Response> {
    fn clone(&self) -> Self {
        Self {
            entrance: Arc::clone(&self.entrance),
        }
    }
}
