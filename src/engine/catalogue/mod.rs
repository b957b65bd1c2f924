//! The catalogue's numbers: topic centres and their principal axes.

pub mod centres;
pub mod vectors;
pub mod block;
