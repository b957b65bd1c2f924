//! Tests of both stores and of what survives: conformance, crashes, upgrades, backups.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints to explain itself"
)]

#[path = "../support/former_holder.rs"]
mod former_holder;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;

mod backup;
mod crash;
mod crash_postgres;
mod disk_full;
mod misbehaving_postgres;
mod moving;
mod store_conformance;
mod store_crash;
mod store_postgres;
mod two_servers_postgres;
