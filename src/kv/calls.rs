use std::sync::Arc;

use tower::{Service, ServiceExt};

use super::{
    Entries, Key, KvError, KvRequest, KvResponse, KvService, Put, Range, Stamp, Versioned,
};

/// A [`KvService`] with a method for each request. Clones call the same store.
#[derive(Clone, Debug)]
pub struct Kv {
    // Shared, since layers are cloned for each request, and with them what they are around.
    service: Arc<KvService>,
}

/// What [`Kv::list`] found.
#[derive(Debug)]
pub enum Listed {
    /// The entries, and when they were read.
    Entries(Entries, Option<Stamp>),
    /// Nothing was written since the stamp that the call named.
    Unchanged,
}

impl Kv {
    /// Calls `service`.
    #[must_use]
    pub fn new(service: KvService) -> Self {
        let service = Arc::new(service);
        Self { service }
    }

    /// [`KvRequest::Get`].
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn get(&self, key: Key) -> Result<(Versioned, Option<Stamp>), KvError> {
        match self.call(KvRequest::Get { key }).await? {
            KvResponse::Value { versioned, stamp } => Ok((versioned, stamp)),
            _ => Err(misplaced()),
        }
    }

    /// [`KvRequest::List`].
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list(&self, range: Range, unless: Option<Stamp>) -> Result<Listed, KvError> {
        match self.call(KvRequest::List { range, unless }).await? {
            KvResponse::List { entries, stamp } => Ok(Listed::Entries(entries, stamp)),
            KvResponse::Unchanged => Ok(Listed::Unchanged),
            _ => Err(misplaced()),
        }
    }

    /// [`KvRequest::Put`].
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn put(&self, put: Put, epoch: Option<u64>) -> Result<Option<Stamp>, KvError> {
        self.write(KvRequest::Put { put, epoch }).await
    }

    /// [`KvRequest::Transaction`].
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn transaction(
        &self,
        puts: Vec<Put>,
        epoch: Option<u64>,
    ) -> Result<Option<Stamp>, KvError> {
        self.write(KvRequest::Transaction { puts, epoch }).await
    }

    /// [`KvRequest::Reset`].
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn reset(&self, epoch: Option<u64>) -> Result<Option<Stamp>, KvError> {
        self.write(KvRequest::Reset { epoch }).await
    }

    async fn write(&self, request: KvRequest) -> Result<Option<Stamp>, KvError> {
        match self.call(request).await? {
            KvResponse::Done { stamp } => Ok(stamp),
            _ => Err(misplaced()),
        }
    }

    async fn call(&self, request: KvRequest) -> Result<KvResponse, KvError> {
        KvService::clone(&self.service)
            .ready()
            .await?
            .call(request)
            .await
    }
}

/// An answer to another request: a write may well have been made.
fn misplaced() -> KvError {
    KvError::Unknown("the store answered another request".into())
}
