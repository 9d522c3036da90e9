//! The programs, as their clients and operators meet them.
//!
//! One program of all these tests: apart, each would compile and link anew what they share, which took longer than
//! to run them.

#[path = "../common/mod.rs"]
mod common;

mod checker;
mod connections;
mod crash;
mod event_loops;
mod exactness;
mod hostile;
mod hot_account;
mod kv_client;
mod kvstore_backup;
mod kvstore_contract;
mod kvstore_crash;
mod kvstore_large;
mod log;
mod long_lists;
mod metrics;
mod original_faults;
mod probes;
mod proxy;
mod repair;
mod replicas;
mod reset;
mod restore_drill;
mod rolling;
mod saga_answers;
mod saga_crash;
mod saga_faults;
mod saga_outage;
mod saga_quarantine;
mod settings;
mod shutdown;
mod store_trouble;
mod tracing;
