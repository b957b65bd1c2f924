//! Numeric building blocks: inner loops over vectors, special functions, and the layout of graphs.
//!
//! Invariant: results are equal, bit by bit, on every processor and with every instruction set.

pub(crate) mod bitmap;
pub mod kernels;
pub mod layout;
pub mod special;
