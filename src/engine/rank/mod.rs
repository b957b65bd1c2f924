//! From candidates to a feed, and from a feed to what one screen is sent.
//!
//! Invariant: a feed holds no item twice; equal scores are ordered by item id.

pub mod diff;
pub mod gate;
