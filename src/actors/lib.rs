//! Actors: they carry out what the engine decides.
//!
//! Invariant: an actor makes no decision that the engine could make; it delivers, stores and sends. Every queue is
//! bounded, and the code documents its behaviour at the bound. [`Server`] is the gateway's only interface to this
//! layer.

extern crate self as actors;
use eddyline_core::{domain, engine};
use eddyline_embed as embed;
use eddyline_process as process;
use eddyline_protocol as protocol;
use eddyline_store as store;

pub mod clock;
pub mod errors;
pub mod schedule;
pub mod apart;
pub mod people;
pub mod slates;
pub mod session;
pub mod answers;
pub mod context;
pub mod journal;
pub(crate) mod user;
pub(crate) mod directory;
pub mod fitting;
pub(crate) mod coordinator;
pub mod models;
pub(crate) mod model_swap;
pub mod server;
pub mod audience;
pub mod figures;
pub mod population;
pub mod rights;
pub mod embeddings;
pub mod start;

pub use server::Server;
