//! Numeric building blocks: inner loops over vectors, and special functions.
//!
//! Invariant: results are equal, bit by bit, on every processor and with every instruction set.

pub mod kernels;
pub mod special;
