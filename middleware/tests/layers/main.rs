//! What each layer promises. One program of all tests, which share most of what is compiled for them.

mod common;

mod backoff;
mod batch;
mod bucket;
#[cfg(feature = "testing")]
mod compensate;
mod detach;
#[cfg(feature = "testing")]
mod inject;
#[cfg(feature = "testing")]
mod network;
#[cfg(feature = "testing")]
mod probe;
mod quarantine;
mod retry;
mod timeout;
