//! Eddyline, a real-time recommender server.
pub mod domain;
pub mod engine;
pub mod protocol;
pub mod store;
