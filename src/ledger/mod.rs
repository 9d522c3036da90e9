//! People, amounts, transfers, and who pays whom: pure, without a store or a network.

mod account;
mod amount;
mod name;
mod settle;
#[cfg(test)]
mod tests;
mod transfer;

pub use account::Account;
pub use amount::{Amount, InvalidAmount, MAX_BALANCE};
pub use name::{InvalidName, Name};
pub use settle::{Payment, Unbalanced, fewest_payments, settle};
pub use transfer::{SamePerson, Transfer};
