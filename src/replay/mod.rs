//! Log files through the same engine, offline.
//!
//! Invariant: what a log says is decided by its bytes alone; no clock, no locale. Absent on purpose: writing logs.

pub mod formats;
