//! Groups of people: a Bayesian mixture, found by variational Bayes.
//!
//! Invariant: same problem, same fit, in however many threads its starts were computed; every row has a group, and the
//! probabilities of its groups sum to 1; no start's bound ever fell. A group's number is never used for another group,
//! and a refit of unchanged rows moves nobody.
//! Absent on purpose: threads (whoever has a [`Problem`] may compute its starts side by side, and gives all of them to
//! [`Problem::finish`]), names of people (rows have places), clocks.
//!
//! Rows become a [`Problem`]: columns scaled by median and interquartile range, a sample of them where there are many.
//! Each [`Problem::start`] climbs from a random beginning, and one from the last fit; the highest lower bound wins.

mod agreement;
mod align;
mod fit;
mod kernel;
mod mixture;
mod part;
mod problem;
mod scaling;
mod search;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod triangle;

pub use agreement::adjusted_rand_index;
pub use fit::{Fit, Group, Member, State};
pub use problem::{COLUMNS_MAX, COMPONENTS_MAX, Kind, Previous, Problem, ProblemError, Settings, Start};
pub use scaling::Scale;
pub use search::Unsound;
