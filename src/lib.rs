//! Eddyline, a real-time recommender server.
pub mod domain;
pub mod protocol;
pub mod store;
