//! Tests of the engine as a whole: no server, no store, no clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints to explain itself"
)]

#[path = "../support/every_kind.rs"]
mod every_kind;
#[path = "../support/examples.rs"]
mod examples;
#[path = "../support/little_tower.rs"]
mod little_tower;

mod blend;
mod fold;
mod list_stage;
mod scan;
mod similar;
mod undo;
mod steer;
mod wire_golden;
