//! One optimiser step: the gradient of the loss over a batch's shards, then AdamW.
//!
//! Invariant: the number of shards is fixed and their gradients are added in order, so the number of threads changes
//! no bit.

use burn_tensor::TensorData;
use burn_tensor::backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use crate::tower::layout::Sizes;
use crate::tower::schema::Schema;
use crate::training::batch::Batch;
use crate::training::network::Network;

/// Loss that training minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Binary cross-entropy of the label.
    CrossEntropy,
    /// Softmax of the liked item among the available items of the batch.
    Softmax,
}

/// Gradient of the summed loss, `(weights,)`, and the loss.
#[must_use]
pub fn gradient<B: AutodiffBackend>(
    schema: &Schema,
    sizes: &Sizes,
    weights: &[f32],
    batch: &Batch,
    loss: Loss,
    device: &B::Device,
) -> (Vec<f32>, f64) {
    let network = Network::<B>::new(schema, sizes, weights, device, true);
    let items = network.items(batch);
    let people = network.people(batch, items.clone());
    let loss = match loss {
        Loss::CrossEntropy => network.cross_entropy(batch, network.log_odds(batch, people, items)),
        Loss::Softmax => network.softmax_loss(batch, people, items),
    };
    let gradients = loss.backward();
    let mut out = Vec::with_capacity(weights.len());
    for tensor in network.tensors() {
        match tensor.grad(&gradients) {
            Some(gradient) => append(gradient.into_data(), &mut out),
            None => out.resize(out.len() + tensor.dims().iter().product::<usize>(), 0.0), // No way to the loss.
        }
    }
    let mut value = Vec::new();
    append(loss.into_data(), &mut value);
    (out, value.first().map_or(0.0, |value| f64::from(*value)))
}

/// Appends the elements of a tensor to `out`.
pub fn append(data: TensorData, out: &mut Vec<f32>) {
    out.extend(data.iter::<f32>());
}

/// AdamW: adaptive moments with decoupled weight decay.
///
/// Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019, Algorithm 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Decayed mean of the gradients, `(weights,)`.
    pub first: Vec<f32>,
    /// Decayed mean of the squared gradients, `(weights,)`.
    pub second: Vec<f32>,
    /// Number of steps taken, for bias correction.
    pub steps: u64,
}

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

impl AdamW {
    /// The state before the first step, with zero moments.
    #[must_use]
    pub fn new(weights: usize) -> AdamW {
        AdamW { first: vec![0.0; weights], second: vec![0.0; weights], steps: 0 }
    }

    /// Updates `weights` by one gradient, all `(weights,)`; `decay` is per weight, times the learning rate.
    pub fn step(&mut self, weights: &mut [f32], gradient: &[f32], decay: &[f32], rate: f32) {
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (correct_1, correct_2) = (1.0 - BETA_1.powi(steps), 1.0 - BETA_2.powi(steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for (((weight, (first, second)), gradient), decay) in weights.iter_mut().zip(moments).zip(gradient).zip(decay) {
            *first = BETA_1 * *first + (1.0 - BETA_1) * gradient;
            *second = BETA_2 * *second + (1.0 - BETA_2) * gradient * gradient;
            let toward = (*first / correct_1) / ((*second / correct_2).sqrt() + EPSILON);
            *weight -= rate * (toward + decay * *weight);
        }
    }
}

/// Scales a gradient down to a norm of at most `longest`.
pub fn clip(gradient: &mut [f32], longest: f32) {
    let length = gradient.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt() as f32;
    if length > longest {
        let by = longest / length;
        gradient.iter_mut().for_each(|x| *x *= by);
    }
}
