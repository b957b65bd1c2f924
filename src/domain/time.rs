//! Instants and spans, in milliseconds.
//!
//! Invariant: callers pass time in; no code here, and no code in `engine`, reads a clock.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

/// One second in milliseconds.
pub const SECOND_MS: i64 = 1_000;
/// One minute in milliseconds.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// One hour in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

impl JsonSchema for Millis {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Milliseconds since 1970-01-01T00:00:00Z.",
            "type": "integer",
            "minimum": Self::MIN.0,
            "maximum": Self::MAX.0,
        })
    }
}

impl Millis {
    /// Start of year 1, the first instant that RFC 3339 can write. The gateway refuses earlier ones.
    pub const MIN: Millis = Millis(-62_135_596_800_000);
    /// End of year 9999, the last instant that RFC 3339 can write. The gateway refuses later ones.
    pub const MAX: Millis = Millis(253_402_300_799_999);

    /// Marks an event without a stated instant: learning replaces it by the instant of arrival.
    pub const ON_ARRIVAL: Millis = Millis::MAX;

    /// Milliseconds from `earlier` to `self`; 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// This instant moved by `ms`, kept within `i64`.
    #[must_use]
    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }
}
