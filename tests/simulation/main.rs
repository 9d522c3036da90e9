//! Transfers over a store whose requests and answers are lost, doubled, delayed and reordered, from
//! replicas that crash and come back: on virtual time, and the same again for the same seed.

#![expect(clippy::print_stdout, reason = "what the schedules came to")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod batches;
mod claims;
mod exactness;
mod late_looks;
mod ledgers;
mod lost_answers;
mod mutants;
mod outcomes;
mod plain_store;
mod quarantine;

mod random;
mod replica;
mod schedule;
mod verdict;
