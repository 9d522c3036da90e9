//! What the tests of several layers share.

pub(crate) mod client;
pub(crate) mod failing;
pub(crate) mod owed;
pub(crate) mod waiting;
