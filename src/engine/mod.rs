//! The thinking: takes state, event and `now`, returns what should happen.
//!
//! Invariant: the same inputs give the same outputs, byte for byte.
//! Absent on purpose: clocks, sockets, stores, threads, global randomness, the order of a hash map.

pub mod avail;
pub mod learn;
pub mod rank;
