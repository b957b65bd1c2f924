//! The thinking.
pub mod world;
