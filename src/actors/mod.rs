//! The doing: actors that carry out what the engine decides.
//!
//! Invariant: an actor decides nothing that the engine could; it delivers, stores and sends. Every queue has an end.
//! [`Server`] is all that the door (gateway) sees of this layer.

pub mod clock;
pub mod people;
pub mod server;
pub mod session;

pub use server::Server;
