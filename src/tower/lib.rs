//! The two-tower model as the server runs it: a user vector and an item vector, whose product gives the log-odds of a like.
//!
//! ```text
//! attributes ─┐                         ┌─ embedding, 128 principal components
//! time ───────┼─► token of the present   ├─ topic, text statistics, numbers
//! history ────┘        │ attention       ▼
//!   item vector,       ▼            perceptron
//!   sign, gap ──► perceptrons            │
//!                      │ (64,)           │ (64,)
//!                      └──── product ────┘ ──► scale, bias ──► log-odds of a like
//! ```
//!
//! Invariant: `training` imports the features of this layer (`schema`, `history`), so both compute equal inputs. Tests hold
//! its network on tensors to the forward pass here. Absent on purpose: tensor libraries, gradients, tables, files, clocks.
//!
//! Source: Vaswani et al., *Attention Is All You Need*, NIPS 2017, of which this is one layer, read at the last position.
//! The shift of scores by time follows Zhai et al., *Actions Speak Louder than Words*, ICML 2024.

extern crate self as tower;
use eddyline_core::{domain, engine};

pub mod text;
pub mod history;
pub mod schema;
pub mod layout;
mod forward;
pub mod checkpoint;

pub use checkpoint::{Checkpoint, CheckpointError, Quality, Summary};
pub use layout::Sizes;
pub use schema::Similarity;
