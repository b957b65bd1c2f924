//! Tests of the repository itself: its form, its words and its documents.
#![allow(clippy::unwrap_used, clippy::expect_used)]

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
