//! The catalogue's numbers: topic centres and their principal axes.

pub mod centres;
pub mod vectors;
pub(in crate::engine) mod attributes;
pub mod block;
