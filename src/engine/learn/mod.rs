//! The learners. Predicting changes nothing; every labelled event is scored before it is learned.
//!
//! Invariant: a learner's state is finite, bounded in memory, and depends only on what it was told, in order.

pub mod metrics;
pub mod normal;
pub mod online;
pub mod popularity;
pub mod progressive;
pub mod topics;
