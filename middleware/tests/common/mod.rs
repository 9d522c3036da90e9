//! What several tests share. Each test uses some of it.
#![allow(
    dead_code,
    reason = "every test is a crate of its own, and none uses all of this"
)]

pub(crate) mod client;
pub(crate) mod failing;
pub(crate) mod waiting;
