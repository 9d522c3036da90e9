//! The waist of the program: everything that stores is one tower service, [`KvService`].
//!
//! A store holds versioned values. A put names the version that it replaces, so that it wins or
//! loses as a whole; a transaction does so for several keys at once.

mod calls;
mod client;
mod embedded;
mod entries;
mod error;
mod walk;
pub mod wire;

use tower::util::BoxCloneSyncService;

pub(crate) use crate::store::IMPORT_GAP;
pub use crate::store::{Entry, Key, Put, Range, Stamp, Value, Versioned};
pub use calls::{Kv, Listed};
pub use client::KvClient;
pub use embedded::{Observed, Writing, spawn_embedded, spawn_observed};
pub use entries::Entries;
pub use error::{Conflict, KvError};

/// A store as a service. It is always ready, and has no policy of its own: no retry, no timeout.
pub type KvService = BoxCloneSyncService<KvRequest, KvResponse, KvError>;

/// What can be asked of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvRequest {
    /// The value and version of a key. Answered by [`KvResponse::Value`].
    Get {
        /// The key.
        key: Key,
    },
    /// Many entries, of one commit. Answered by [`KvResponse::List`], or by
    /// [`KvResponse::Unchanged`].
    List {
        /// Which ones.
        range: Range,
        /// Answer `Unchanged` if nothing was written since.
        unless: Option<Stamp>,
    },
    /// One put. Answered by [`KvResponse::Done`].
    Put {
        /// The put.
        put: Put,
        /// The epoch that its version was read in; `None` accepts any.
        epoch: Option<u64>,
    },
    /// Puts of different keys, all or none. Answered by [`KvResponse::Done`].
    Transaction {
        /// The puts.
        puts: Vec<Put>,
        /// The epoch that their versions were read in; `None` accepts any.
        epoch: Option<u64>,
    },
    /// Forgets everything. Answered by [`KvResponse::Done`].
    Reset {
        /// The epoch that is to end; `None` ends any. A reset that names it is made once, however often it arrives.
        epoch: Option<u64>,
    },
}

/// What a store answers. Stamps are `None` where the store has none.
#[derive(Debug)]
pub enum KvResponse {
    /// To [`KvRequest::Get`].
    Value {
        /// The value and version; `""` and 0 for a key that is not there.
        versioned: Versioned,
        /// When it was read.
        stamp: Option<Stamp>,
    },
    /// To [`KvRequest::List`].
    List {
        /// The entries, sorted by key.
        entries: Entries,
        /// When they were read.
        stamp: Option<Stamp>,
    },
    /// To [`KvRequest::List`]: nothing was written since.
    Unchanged,
    /// To the writes: it is made, durably.
    Done {
        /// When it was made.
        stamp: Option<Stamp>,
    },
}
