//! Learners that all users share: popularity, first visits, co-occurrence, the blend's weights and their bookkeeping.

pub(crate) mod sparse;
pub(crate) mod arrivals;
pub mod last_seen;
pub mod popularity;
pub mod cluster_popularity;
pub(crate) mod item_neighbours;
pub(crate) mod newton;
pub mod drift;
