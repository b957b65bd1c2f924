//! The catalogue's numbers: topic centres and their principal axes.

pub mod centres;
