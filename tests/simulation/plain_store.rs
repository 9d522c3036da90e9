//! The original store, as far as a client sees it: without transactions, epochs and stamps, and with
//! two of its faults, which a ledger on it must bear.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use splitdim::kv::{
    Conflict, Entry, Key, KvError, KvRequest, KvResponse, KvService, Put, Versioned,
};
use tower::service_fn;

type Keys = Arc<Mutex<BTreeMap<Key, Versioned>>>;

pub(crate) fn plain_store() -> KvService {
    let keys = Keys::default();
    KvService::new(service_fn(move |request| {
        let answer = answer(&keys, request);
        async move { answer }
    }))
}

fn answer(keys: &Keys, request: KvRequest) -> Result<KvResponse, KvError> {
    let mut keys = keys.lock().unwrap();
    match request {
        KvRequest::Get { key } => Ok(KvResponse::Value {
            versioned: keys.get(&key).cloned().unwrap_or_default(),
            stamp: None,
        }),
        KvRequest::List { range, .. } => {
            let entry = |(key, stored): (&Key, &Versioned)| Entry {
                key: Arc::clone(key),
                value: Arc::clone(&stored.value),
                version: stored.version,
            };
            let entries = keys
                .iter()
                .filter(|(key, _)| range.contains(key))
                .map(entry);
            Ok(KvResponse::List {
                entries: entries.collect::<Vec<_>>().into(),
                stamp: None,
            })
        }
        KvRequest::Put { put, .. } => write(&mut keys, put),
        KvRequest::Transaction { .. } => Err(KvError::Unavailable(
            "the store answered 404 to a write".into(),
        )),
        KvRequest::Reset { .. } => {
            keys.clear();
            Ok(KvResponse::Done { stamp: None })
        }
    }
}

fn write(keys: &mut BTreeMap<Key, Versioned>, put: Put) -> Result<KvResponse, KvError> {
    let done = Ok(KvResponse::Done { stamp: None });
    match keys.get_mut(&put.key) {
        // The first fault: what is stored already is answered before the version is looked at.
        Some(stored) if stored.value == put.value => done,
        Some(stored) if stored.version != put.version => {
            Err(KvError::Conflict(Conflict::somewhere()))
        }
        Some(stored) => {
            stored.value = put.value;
            stored.version += 1;
            done
        }
        // The second: a key that is not there takes any version.
        None => {
            let version = put.version + 1;
            let value = put.value;
            keys.insert(put.key, Versioned { value, version });
            done
        }
    }
}
