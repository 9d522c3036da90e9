//! Transfers over a store whose requests and answers are lost, doubled, delayed and reordered: on
//! virtual time, and the same again for the same seed.

mod exactness;
mod faulty;
mod outcomes;
