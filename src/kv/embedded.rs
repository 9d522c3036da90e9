use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{self, JoinHandle};
use tower::{ServiceExt, service_fn};

use super::walk::{self, unreadable};
use super::{Conflict, KvError, KvRequest, KvResponse, KvService};
use crate::metrics::{CommitMetrics, Conflicts};
use crate::store::{Backend, Fault, Refusal, Store, Write, WriteError, Writer};

/// How the writing of a store in this process ended.
pub type Writing = JoinHandle<Result<(), Fault>>;

/// A store over `backend`, as a service, with its writer at work.
pub fn spawn_embedded<B: Backend>(backend: B) -> (KvService, Writing) {
    spawn_observed(backend, Observed::default())
}

/// Who is told what a store in this process does; by default nobody.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its commits.
    pub commits: Option<Arc<CommitMetrics>>,
    /// The writes that it refuses.
    pub conflicts: Option<Conflicts>,
}

/// The same as [`spawn_embedded`], with somebody who is told.
pub fn spawn_observed<B: Backend>(backend: B, observed: Observed) -> (KvService, Writing) {
    let (store, writer) = Store::new(backend);
    let Observed { commits, conflicts } = observed;
    let writer = match commits {
        Some(commits) => writer.observed(commits),
        None => writer,
    };
    (counted(store, conflicts), spawn_writer(writer))
}

/// Has `writer` at work. Where it waits for a device, it has a thread of its own, if this runtime is
/// one of several threads, and not one that a test drives alone.
fn spawn_writer<B: Backend>(writer: Writer<B>) -> Writing {
    let runtime = Handle::current();
    match runtime.runtime_flavor() {
        RuntimeFlavor::MultiThread if B::WAITS => {
            task::spawn_blocking(move || runtime.block_on(writer.run()))
        }
        _ => task::spawn(writer.run()),
    }
}

/// `store` as a service, whose refusals `conflicts` count, if they are counted.
fn counted<B: Backend>(store: Store<B>, conflicts: Option<Conflicts>) -> KvService {
    let service = service_fn(move |request| answer(store.clone(), request));
    KvService::new(service.map_result(move |answer| {
        if let (Err(KvError::Conflict(_)), Some(conflicts)) = (&answer, &conflicts) {
            conflicts.count();
        }
        answer
    }))
}

async fn answer<B: Backend>(store: Store<B>, request: KvRequest) -> Result<KvResponse, KvError> {
    match request {
        KvRequest::Get { key } => {
            let (versioned, stamp) = store.get(&key).map_err(unreadable)?;
            Ok(KvResponse::Value {
                versioned,
                stamp: Some(stamp),
            })
        }
        KvRequest::List { range, unless } => walk::list(store.snapshot(), range, unless).await,
        KvRequest::Put { put, epoch } => {
            write(
                &store,
                Write::Puts {
                    puts: vec![put],
                    epoch,
                },
            )
            .await
        }
        KvRequest::Transaction { puts, epoch } => write(&store, Write::Puts { puts, epoch }).await,
        KvRequest::Reset { epoch } => write(&store, Write::Reset { epoch }).await,
    }
}

async fn write<B: Backend>(store: &Store<B>, write: Write) -> Result<KvResponse, KvError> {
    match store.write(write).await {
        Ok(stamp) => Ok(KvResponse::Done { stamp: Some(stamp) }),
        Err(WriteError::Refused(refusal)) => Err(refused(refusal)),
        Err(error @ WriteError::Closed) => Err(KvError::Unavailable(error.into())),
        Err(error @ WriteError::Lost) => Err(KvError::Unknown(error.into())),
    }
}

fn refused(refusal: Refusal) -> KvError {
    match refusal {
        Refusal::Version(moved) => KvError::Conflict(Conflict::Version { moved }),
        Refusal::Epoch { current } => KvError::Conflict(Conflict::Epoch { current }),
        Refusal::EmptyKey | Refusal::SameKey(_) | Refusal::LastVersion(_) => {
            KvError::Invalid(refusal.to_string())
        }
        Refusal::CopyFailed => KvError::Unavailable(refusal.into()),
    }
}
