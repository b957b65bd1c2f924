//! Learners of one user: the online model, topic weights and visits.

pub mod history;
pub mod offset;
pub(crate) mod quadratic;
pub mod topics;
pub mod online;
pub mod visits;
pub mod weight_history;
