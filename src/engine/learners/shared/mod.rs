//! Learners that all users share: popularity, first visits, co-occurrence, the blend's weights and their bookkeeping.

pub mod sparse;
pub mod arrivals;
pub mod last_seen;
pub mod popularity;
pub mod cluster_popularity;
pub mod item_neighbours;
pub mod newton;
pub mod drift;
