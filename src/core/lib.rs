//! The pure core: the words of the domain, and the engine that learns and ranks.
//!
//! Invariant: nothing here waits, reads a clock or draws chance; the caller passes time and seeds in.

// Files of `tests/support` name the crate by its name, in tests of the crate itself, too.
#[cfg(test)]
extern crate self as eddyline;

/// The words of the domain: ids, times, items, interactions, windows, feeds.
#[path = "../domain/mod.rs"]
pub mod domain;
/// The engine: learning, ranking, availability and the world; pure.
#[path = "../engine/mod.rs"]
pub mod engine;
