//! Simulated tables of users, posts and a feed, drawn from a known law of likes.
//!
//! Invariant: results follow from sizes, start and seed. Rows come in order of time. A like follows its view, and that
//! view has the label. Memory holds users and posts, not rows. Exposure does not depend on taste, so labels are
//! missing at random.
//! Absent on purpose: files (`tables::write` has them) and learning; `bounds` computes how much could be learned.

mod attributes;
mod likes;
mod generate;
pub mod bounds;
#[cfg(test)]
mod tests;

pub use attributes::Attributes;
pub use generate::{Act, Post, SimulatedRow, Tables, TablesSize};
pub use likes::{CHANCE_SPREAD, Law, TASTES};
