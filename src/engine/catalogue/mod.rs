//! The catalogue's numbers: topic centres and their principal axes.

pub mod centres;
pub mod vectors;
pub mod block;
pub(in crate::engine) mod attributes;
