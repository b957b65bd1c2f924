//! The pure core: state, event and `now` go in, effects come out as values.
//!
//! Invariant: equal inputs give equal outputs, bit by bit.
//! Deliberately absent: clocks, global randomness, locks, threads, hash-map iteration order in any decision, and all
//! input and output.

pub mod avail;
pub mod cluster;
pub mod clustering;
pub mod coordinator;
pub mod crowd;
pub mod delivery;
pub mod learn;
pub mod portrait;
pub mod rank;
pub mod settings;
pub mod simd;
pub mod special;
pub mod tower;
pub mod user;
pub mod world;
