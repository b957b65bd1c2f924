//! The thinking, pure: state, event and `now` go in, effects come out as values.
//!
//! Invariant: the same inputs give the same outputs, bit by bit. Absent on purpose: clocks, global randomness, locks,
//! threads, hash-map iteration order in anything that decides, and every kind of input or output.

pub mod avail;
pub mod cluster;
pub mod clustering;
pub mod coordinator;
pub mod crowd;
pub mod learn;
pub mod portrait;
pub mod rank;
pub mod settings;
pub mod simd;
pub mod special;
pub mod tower;
pub mod user;
pub mod world;
