//! Eddyline, a real-time recommender server.
pub mod domain;
pub mod embed;
pub mod protocol;
pub mod replay;
pub mod simulate;
pub mod store;
