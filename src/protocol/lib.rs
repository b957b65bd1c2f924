//! The wire protocol: messages of the WebSocket, as closed enums.
//!
//! Invariant: engine types are never serialised; the actors convert them to these types. A message with an unknown type, or
//! an unknown, missing or duplicate field, is refused with the field's name. `docs/protocol.md` describes each message, and
//! a test compares it with the enums.

use eddyline_core::domain;

pub mod close;
pub mod problem;
pub mod client;
pub mod refusal;
pub mod server;

/// Name of the WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "eddyline.v1";

/// Size limit of a frame from a client, in bytes. A longer frame closes the socket with 1009.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Largest number of items in a feed.
pub const LIMIT_MAX: u32 = 100;

/// Items of a feed if the client names no limit.
pub const LIMIT_DEFAULT: u32 = 30;

/// Largest number of items before a page of a feed.
pub const AFTER_MAX: u32 = 1_000;
