//! The request that a task works for. It is looked at when a line is written, so a request of which
//! nothing is written pays for no span.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::task::futures::TaskLocalFuture;
use uuid::Uuid;

use super::Trace;

tokio::task_local! {
    static CURRENT: Option<Arc<Context>>;
}

/// What the lines that belong to a request say of it. What its client has not told is made when somebody asks.
#[derive(Clone, Debug)]
pub struct Context {
    id: OnceLock<Id>,
    trace: OnceLock<Trace>,
}

/// The id of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// Made here.
    Own(Uuid),
    /// Its client's: plain text, without anything that a line of the log gives a meaning to.
    Client(Box<str>),
}

impl Context {
    /// The context of a request that its client calls `id`, in `trace`, if it said so.
    #[must_use]
    pub fn new(id: Option<Box<str>>, trace: Option<Trace>) -> Self {
        Self {
            id: id.map(Id::Client).map_or_else(OnceLock::new, Into::into),
            trace: trace.map_or_else(OnceLock::new, Into::into),
        }
    }

    /// The id of the request.
    #[must_use]
    pub fn id(&self) -> &Id {
        self.id.get_or_init(|| Id::Own(Uuid::now_v7()))
    }

    /// The trace that it is part of; its own, if there is no other.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        self.trace.get_or_init(|| match self.id() {
            // One name is enough for both.
            Id::Own(id) => Trace::of(*id),
            Id::Client(_) => Trace::of(Uuid::now_v7()),
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(id) => write!(f, "{id}"),
            Self::Client(id) => f.write_str(id),
        }
    }
}

/// The context that this task works in, if it works for a request.
#[must_use]
pub fn current() -> Option<Arc<Context>> {
    CURRENT.try_with(Option::clone).ok().flatten()
}

/// Work that is done for a request, or for none.
pub type Within<W> = TaskLocalFuture<Option<Arc<Context>>, W>;

/// `work`, which is done in `context` wherever it is polled.
pub fn within<W: Future>(context: Option<Arc<Context>>, work: W) -> Within<W> {
    CURRENT.scope(context, work)
}

/// What `work` returns, which is done in `context`.
pub fn enter<T>(context: Option<Arc<Context>>, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(context, work)
}

/// `work` for the request that this task works for, on whatever task it will be done.
pub fn carried<W: Future>(work: W) -> Within<W> {
    CURRENT.scope(current(), work)
}
