//! The two-tower model: a network that turns people with their history, and items, into vectors whose product says how
//! likely a like is. Trained here from tables, used by `engine` through its trait.
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
//! Invariant: training and serving share the features (`schema`, `history`), and tests hold the two forms of the network
//! (`network` on tensors, `forward` on slices) to the same numbers. The tensor library is used while training, never
//! while serving. Absent on purpose: files, clocks, the network of computers, and what is done with a score.
//!
//! Source: the attention is one layer of Vaswani et al., *Attention Is All You Need*,
//! NIPS 2017, read at its last place, with scores shifted by time as in Zhai et al., *Actions Speak Louder than Words*,
//! ICML 2024.

extern crate self as tower;
use eddyline_core::{domain, engine};
use eddyline_tables as tables;

mod baselines;
mod batch;
pub mod checkpoint;
mod components;
mod schema_fit;
mod forward;
mod gradient;
pub mod history;
pub mod dataset;
mod network;
pub mod quality;
pub mod schema;
pub mod layout;
mod init;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
pub mod text;
pub mod train;

pub use checkpoint::{Checkpoint, CheckpointError, Quality, Summary};
pub use dataset::Fractions;
pub use gradient::Loss;
pub use layout::Sizes;
pub use schema_fit::facts;
pub use train::{Progress, TrainError, TrainSettings, Training};

use crate::tables::Tables;

/// Training on the processor.
pub type Cpu = burn_autodiff::Autodiff<burn_ndarray::NdArray<f32, i32>>;

/// Training on a graphics card by NVIDIA.
#[cfg(feature = "cuda")]
pub type Cuda = burn_autodiff::Autodiff<burn_cuda::Cuda<f32, i32>>;

/// Trains a model from beginning to end on the processor and says how it goes; [`Training`] does it step by step.
///
/// # Errors
/// [`TrainError`] where the tables have too little in them, or the rate is too large for them.
pub fn train(
    tables: &Tables,
    settings: &TrainSettings,
    mut progress: impl FnMut(&Progress),
) -> Result<Checkpoint, TrainError> {
    let mut training = Training::<Cpu>::new(tables, settings, Default::default())?;
    while let Some(step) = training.advance()? {
        progress(&step);
    }
    Ok(training.finish())
}
