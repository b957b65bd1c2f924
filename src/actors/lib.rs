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

pub mod apart;
pub mod audience;
pub mod clock;
pub mod coordinator;
pub mod population;
pub mod directory;
pub mod figures;
pub mod context;
pub mod journal;
pub mod models;
pub mod people;
pub mod rights;
pub mod schedule;
pub mod server;
pub mod session;
pub mod slates;
pub mod fitting;
pub mod start;
pub mod user;

pub use server::Server;
