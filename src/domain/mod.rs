//! The words: what everything else speaks about, and nothing that happens.
//!
//! Invariant: a value of these types is valid by construction; what comes from outside is checked once, where it is
//! built (`Key::new`, `Windows::new`, `Embedding::new`), and trusted from then on.
//! Absent on purpose: clocks, randomness, locks, any input or output.

pub mod feeds;
pub mod ids;
pub mod interactions;
pub mod items;
pub mod journal;
pub mod people;
pub mod text;
pub mod time;
pub mod timestamps;
pub mod windows;
