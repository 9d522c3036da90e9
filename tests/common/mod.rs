//! What tests and benchmarks share.
#![allow(
    dead_code,
    reason = "they are several programs, and not each uses all of this"
)]

pub(crate) mod balancer;
pub(crate) mod exact;
pub(crate) mod figures;
pub(crate) mod http;
pub(crate) mod kvstore;
pub(crate) mod load;
pub(crate) mod offered;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod service;
pub(crate) mod splitdim;
pub(crate) mod status;
