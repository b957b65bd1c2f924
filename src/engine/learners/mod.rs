//! Online learners, of one user (`person`) and of all users together (`shared`).
//!
//! Invariant: prediction changes nothing, learning is deterministic, and a snapshot predicts what its learner predicts.

pub mod clock;
pub mod person;
pub mod shared;
#[cfg(test)]
mod tests;
