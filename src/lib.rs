//! Eddyline, a real-time recommender server.
pub mod domain;
pub mod engine;
pub mod protocol;
pub mod embed;
pub mod store;
pub mod actors;
pub mod gateway;
pub mod replay;
pub mod simulate;
pub mod config;
pub mod app;
pub mod commands;
