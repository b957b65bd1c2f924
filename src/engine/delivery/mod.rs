//! Delivery of feeds to open subscriptions: which feed stands, when it is ranked again, and which update is sent next.
//!
//! Invariant: the module is pure. Time comes in as a value, ranking comes in as an [`events::Ranker`], and everything to send
//! goes out as [`events::Delivery`] values. Reading order: `flow_control`, `patch`, `refresh`, `standing`, `events`,
//! `feeds`, `ranker`.
//! Deliberately absent: sockets, frames and their encoding, timers, and the order of items (`engine::rank`).

pub mod flow_control;
pub mod patch;
pub mod refresh;
pub mod standing;
pub mod events;
pub mod feeds;
pub mod ranker;
#[cfg(test)]
mod tests;
