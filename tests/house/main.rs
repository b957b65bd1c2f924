//! Tests of the repository itself: its form, its words and its documents.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints to explain itself"
)]

#[path = "../support/examples.rs"]
mod examples;
#[path = "../support/schema.rs"]
mod schema;

mod map;
mod openapi;
mod order;
mod protocol_docs;
mod tidy;
mod words;
