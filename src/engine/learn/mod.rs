//! The learners. Prediction changes nothing; every labelled event is scored before it is learned.
//!
//! Invariant: a learner's state is finite, bounded in memory, and depends only on its inputs and their order.

pub mod features;
pub mod axes;
pub mod quadratic;
pub mod metrics;
pub mod normal;
pub mod sparse;
pub mod topics;
pub mod visitors;
pub mod online;
pub mod repeat;
pub mod lately;
pub mod popularity;
pub mod cluster_popularity;
pub mod item_neighbours;
pub mod newton;
pub mod blend;
pub mod opinion;
pub mod hedge;
pub mod drift;
pub mod progressive;
#[cfg(test)]
mod checks;
