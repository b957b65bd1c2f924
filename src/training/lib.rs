//! Training of the two-tower model from tables, on tensors with gradients; the result is a [`Checkpoint`] for `tower`.
//!
//! Invariant: features come from `tower`, and tests hold `network` (on tensors) to the forward pass that serves.
//! Only this layer imports the tensor library. Absent on purpose: files, clocks, progress bars.

extern crate self as training;
use eddyline_core::{domain, engine};
use eddyline_tables as tables;
use eddyline_tower as tower;

mod dataset;
mod quality;
mod baselines;
mod batch;
mod components;
mod schema_fit;
mod network;
mod gradient;
mod init;
mod train;
#[cfg(test)]
mod tests;

/// Tensors with gradients, on any device; a command names it to choose one.
pub use burn_tensor::backend::AutodiffBackend;
pub use dataset::{Fractions, Slice};
pub use gradient::Loss;
pub use quality::{CalibrationBin, calibration_bins};
pub use schema_fit::facts;
pub use train::{Progress, TrainError, TrainSettings, Training};

use crate::tables::Tables;
use crate::tower::Checkpoint;

/// Backend that trains on the processor.
pub type Cpu = burn_autodiff::Autodiff<burn_ndarray::NdArray<f32, i32>>;

/// Backend that trains on a graphics card by NVIDIA.
#[cfg(feature = "cuda")]
pub type Cuda = burn_autodiff::Autodiff<burn_cuda::Cuda<f32, i32>>;

/// Trains a model on the processor from the first epoch to the last and reports each step; [`Training`] allows single steps.
///
/// # Errors
/// [`TrainError`] where the tables have too few rows, or the learning rate is too large for them.
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
