//! Tests of a running server, through its socket and its REST interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints to explain itself"
)]

#[path = "../support/checkpoint.rs"]
mod checkpoint;
#[path = "../support/former_holder.rs"]
mod former_holder;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod bulk;
mod cluster;
mod clusterings;
mod population;
mod etags;
mod examples;
mod figures;
mod gorse;
mod stream;
mod hostile;
mod judging;
mod matrix;
mod metrics;
mod models;
mod model_files;
mod names;
mod on_air;
mod pages;
mod passivation;
mod recommend;
mod rights;
mod search;
mod similar;
mod slates;
mod social;
mod time_machine;
mod undo;
mod walk;
mod weights;
