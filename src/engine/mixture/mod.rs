//! Clustering of users: a Bayesian mixture model, fitted by variational Bayes.
//!
//! Invariant: equal problems give equal fits, in any number of threads. Every row has a cluster, and the probabilities
//! of its clusters sum to 1. No start's lower bound ever falls. A cluster's number is never reused for another cluster,
//! and a refit of unchanged rows moves no user.
//! Deliberately absent: threads, names of users (rows have indices), clocks. A caller may compute the starts of a
//! [`Problem`] in parallel, and passes all of them to [`Problem::finish`].
//!
//! Rows become a [`Problem`]: columns are scaled (by default by median and interquartile range), and many rows are sampled. Each
//! [`Problem::start`] ascends from a random initialisation, and one from the last fit; the highest lower bound wins.

mod agreement;
mod align;
mod triangle;
mod scaling;
mod kernel;
mod components;
mod search;
mod part;
mod state;
mod problem;
mod fit;
#[cfg(test)]
mod tests;

pub use agreement::adjusted_rand_index;
pub use components::PriorSettings;
pub use fit::{Fit, Group};
pub(crate) use problem::{COLUMNS_MAX, COMPONENTS_MAX};
pub use problem::{Kind, Previous, Problem, ProblemError, Settings, Start};
pub use scaling::{Scale, Scaling};
pub use search::Unsound;
pub use state::{Member, State};
