//! The pure core: state, event and `now` go in, effects come out as values.
//!
//! Invariant: equal inputs give equal outputs, bit by bit.
//! Deliberately absent: clocks, global randomness, locks, threads, hash-map iteration order in any decision, and all
//! input and output.

pub mod numeric;
pub mod availability;
pub mod metrics;
pub mod mixture;
pub mod catalogue;
pub mod learners;
pub mod two_tower;
pub(crate) mod evidence;
pub(crate) mod experts;
pub mod features;
pub mod blend;
pub mod settings;
pub mod population;
pub mod world;
pub mod rank;
pub mod user;
pub mod coordinator;
pub mod delivery;
