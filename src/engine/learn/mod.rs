//! The learners and what measures them.
//!
//! Invariant: predicting changes nothing; every labelled event is scored before it is learned.

pub mod progressive;
