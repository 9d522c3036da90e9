//! SplitDim keeps track of who owes whom in a group of people, without losing a cent.
//!
//! Imports point one way: `http → pipeline → kv → store`, and `kvstore → kv`; all may use `ledger`, which is pure, and
//! `metrics`, `telemetry`, `json` and `generations`, which know of none of them. What stands around HTTP services is `web`.
//! The binaries only wire.

pub mod backup;
pub mod config;
mod generations;
pub mod http;
mod json;
pub mod kv;
pub mod kvstore;
pub mod ledger;
pub mod metrics;
pub mod ops;
pub mod pipeline;
pub mod process;
pub mod repair;
pub mod serve;
pub mod store;
pub mod telemetry;
pub mod web;
