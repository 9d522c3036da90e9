//! Tools for tests of layers, and of services that must stand a bad network.
//!
//! - [`probe`]: sees whether a layer asks for readiness before it calls, and what it leaves behind.
//! - [`network`]: loses, doubles, delays and reorders requests and answers.
//! - [`SplitMix64`]: randomness that a seed repeats.

pub mod network;
pub mod probe;
mod random;

pub use random::SplitMix64;
