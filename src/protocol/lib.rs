//! The wire: what travels over the socket, as closed enums.
//!
//! Invariant: engine types are never serialised; they are converted here, at the edge. A message with an unknown type,
//! an unknown field, a missing one or a duplicate is refused with the field's name. `docs/protocol.md` describes each
//! message, and a test fails when enum and document part.

use eddyline_core::domain;

pub mod client;
pub mod close;
pub mod problem;
pub mod refusal;
pub mod server;

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "eddyline.v1";

/// The longest frame a client may send, in bytes; longer ones close the socket with 1009.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// How many items a feed may be asked for.
pub const LIMIT_MAX: u32 = 100;

/// How many items a feed has when nobody asks.
pub const LIMIT_DEFAULT: u32 = 30;
