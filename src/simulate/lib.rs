//! The simulated social network: users, friendships, tastes, texts and activities.
//!
//! Invariant: results follow from a seed and the given instants alone; equal seeds give equal bytes.
//! Absent on purpose: clocks, threads, sockets, and the recommender: no user's taste depends on a ranking.

extern crate self as simulate;
use eddyline_core::{domain, engine};

mod chance;
pub mod limits;
mod vocabulary;
pub mod text;
pub mod network;
pub mod taste;
mod behaviour;
pub mod history;
pub mod bots;
pub mod measures;
pub mod viewing;
pub mod tables;

pub use limits::SimulateError;
