//! What a ledger asked of its store.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::Deserialize;

use crate::Outcome;
use crate::fetch;

#[derive(Deserialize)]
struct Counters {
    requests: HashMap<String, u64>,
}

#[derive(Deserialize)]
struct Record {}

/// Requests that the kvstore at `address` got for each transfer that it has a record of.
pub(crate) fn requests_per_transfer(address: SocketAddr) -> Outcome<f64> {
    let counters: Counters = serde_json::from_slice(&fetch::get(address, "/api/fault")?)?;
    let records: Vec<Record> =
        serde_json::from_slice(&fetch::get(address, "/api/list?prefix=%21t%2F")?)?;
    let requests: u64 = counters.requests.values().sum();
    Ok(requests as f64 / records.len() as f64)
}
