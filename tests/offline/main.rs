//! Tests of the offline commands: import, replay, simulate, train, cluster and explore.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints to explain itself"
)]

#[path = "../support/little_tower.rs"]
mod little_tower;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;

mod live_channels;
mod embeddings;
mod explore;
mod in_time;
mod logs;
mod measured;
mod offline;
mod reference;
mod replay;
mod simulated_world;
mod tables;
mod train;
