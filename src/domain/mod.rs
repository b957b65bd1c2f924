//! The domain types: users, items, interactions, windows, feeds, journal entries.
//!
//! Invariant: a value of these types is valid by construction. Constructors (`Key::new`, `Windows::new`, `Embedding::new`)
//! check outside input once. Absent on purpose: clocks, randomness, locks, any input or output.

pub mod ids;
pub mod json;
pub mod text;
pub mod time;
pub mod search;
pub mod feeds;
pub mod interactions;
pub mod metrics;
pub mod clusterings;
pub mod journal;
pub mod people;
pub mod timestamps;
pub mod windows;
pub mod stated_time;
pub mod items;
pub mod activities;
