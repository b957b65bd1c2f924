//! Eddyline, a real-time recommender server.
pub mod actors;
pub mod domain;
pub mod engine;
pub mod gateway;
pub mod protocol;
pub mod store;
