//! Eddyline, a real-time recommender server.
pub mod actors;
pub mod app;
pub mod commands;
pub mod config;
pub mod domain;
pub mod embed;
pub mod engine;
pub mod gateway;
pub mod protocol;
pub mod replay;
pub mod simulate;
pub mod store;
