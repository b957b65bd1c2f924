//! The network on tensors, for training: the function of `tower::forward`, over many users and views at once.
//!
//! Invariant: keys and values of a step depend on its item and sign alone. One attention layer reads them from the
//! token of the present, so the views of a chunk share their steps. The mask gives each view exactly its own last
//! steps.
//! Absent on purpose: randomness, and the choice of device.

use burn_tensor::activation::{relu, softmax};
use burn_tensor::backend::Backend;
use burn_tensor::{Int, Tensor, TensorData};

use crate::engine::two_tower::TOWER_DIM;
use crate::tower::history::{GAP_FEATURES, SUMMARY};
use crate::tower::layout::{NORM_EPSILON, Part, Shapes, Sizes};
use crate::tower::schema::{LENGTH_EPSILON, Schema, Similarity, TIME_FEATURES};
use crate::training::batch::Batch;

/// Weights of the network as tensors on a device.
#[derive(Debug)]
pub struct Network<B: Backend> {
    shapes: Shapes,
    sizes: Sizes,
    similarity: Similarity,
    tensors: Vec<Tensor<B, 2>>,
    device: B::Device,
}

impl<B: Backend> Network<B> {
    /// Uploads weights to a device; `learn` enables gradients.
    #[must_use]
    pub fn new(schema: &Schema, sizes: &Sizes, weights: &[f32], device: &B::Device, learn: bool) -> Network<B> {
        let shapes = Shapes::new(schema, sizes);
        let tensors = (0..shapes.all.len())
            .map(|index| {
                let shape = &shapes.all[index];
                let numbers = weights[shapes.place(index)].to_vec();
                let tensor = Tensor::from_data(TensorData::new(numbers, [shape.rows, shape.columns]), device);
                if learn { tensor.require_grad() } else { tensor }
            })
            .collect();
        Network { shapes, sizes: *sizes, similarity: schema.similarity, tensors, device: device.clone() }
    }

    /// All tensors, in the order of [`Shapes::all`].
    #[must_use]
    pub fn tensors(&self) -> &[Tensor<B, 2>] {
        &self.tensors
    }

    fn part(&self, part: Part) -> Tensor<B, 2> {
        self.tensors[self.shapes.index(part)].clone()
    }

    /// `x W^T + b`; the bias follows the weight in the layout.
    fn linear(&self, x: Tensor<B, 2>, weight: Part) -> Tensor<B, 2> {
        let index = self.shapes.index(weight);
        x.matmul(self.tensors[index].clone().transpose()) + self.tensors[index + 1].clone()
    }

    fn norm(&self, x: Tensor<B, 2>, weight: Part) -> Tensor<B, 2> {
        let index = self.shapes.index(weight);
        let centred = x.clone() - x.mean_dim(1);
        let variance = centred.clone().powi_scalar(2).mean_dim(1);
        centred / variance.add_scalar(NORM_EPSILON).sqrt() * self.tensors[index].clone()
            + self.tensors[index + 1].clone()
    }

    /// Last operation of both towers: divides each row by its length for the cosine.
    fn finish(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self.similarity {
            Similarity::Dot => x,
            Similarity::Cosine => {
                let length = x.clone().powi_scalar(2).sum_dim(1).add_scalar(LENGTH_EPSILON).sqrt();
                x / length
            }
        }
    }

    fn floats<const D: usize>(&self, numbers: &[f32], shape: [usize; D]) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(numbers.to_vec(), shape), &self.device)
    }

    fn places(&self, numbers: &[i32]) -> Tensor<B, 1, Int> {
        Tensor::from_data(TensorData::new(numbers.to_vec(), [numbers.len()]), &self.device)
    }

    /// Item vectors of a batch, `(items, 64)`.
    pub fn items(&self, batch: &Batch) -> Tensor<B, 2> {
        let topics = self.part(Part::ItemTopic).select(0, self.places(&batch.item_topics));
        let width = batch.item_dense.len() / batch.items().max(1);
        let x = match width {
            0 => topics,
            _ => Tensor::cat(vec![topics, self.floats(&batch.item_dense, [batch.items(), width])], 1),
        };
        self.finish(self.linear(relu(self.linear(x, Part::ItemHidden)), Part::ItemOut))
    }

    /// User vectors at each view of a batch, `(chunks * moments, 64)`; `items` has the item vectors of the batch.
    pub fn people(&self, batch: &Batch, items: Tensor<B, 2>) -> Tensor<B, 2> {
        let (chunks, moments, steps) = (batch.chunks, batch.moments, batch.steps);
        let rows = chunks * moments;
        let fixed = self.fixed(batch);
        let now = self.linear(fixed.clone(), Part::Now);
        let heads = self.sizes.heads;
        let head = TOWER_DIM / heads;
        let split = |x: Tensor<B, 2>, places: usize| x.reshape([chunks, places, heads, head]).swap_dims(1, 2);
        let own = self.linear(self.norm(now.clone(), Part::AttentionNorm), Part::AttentionIn);
        let query = split(own.clone().narrow(1, 0, TOWER_DIM).div_scalar((head as f32).sqrt()), moments);
        let (own_key, own_value) = (
            split(own.clone().narrow(1, TOWER_DIM, TOWER_DIM), moments),
            split(own.narrow(1, 2 * TOWER_DIM, TOWER_DIM), moments),
        );
        let seen = if steps == 0 {
            own_value
        } else {
            let signed = self.linear(items, Part::Step).reshape([batch.items() * 3, TOWER_DIM]);
            let used = self.norm(signed.select(0, self.places(&batch.step_kinds)), Part::AttentionNorm);
            let index = self.shapes.index(Part::AttentionIn);
            let weight = self.tensors[index].clone().narrow(0, TOWER_DIM, 2 * TOWER_DIM);
            let bias = self.tensors[index + 1].clone().narrow(1, TOWER_DIM, 2 * TOWER_DIM);
            let both = (used.matmul(weight.transpose()) + bias).select(0, self.places(&batch.step_rows));
            let (key, value) = (
                split(both.clone().narrow(1, 0, TOWER_DIM), steps),
                split(both.narrow(1, TOWER_DIM, TOWER_DIM), steps),
            );
            let gaps = self.floats(&batch.gaps, [rows * steps, GAP_FEATURES]);
            let gaps = gaps.matmul(self.part(Part::AttentionGap).transpose());
            let gaps =
                gaps.reshape([chunks, moments * steps, heads]).swap_dims(1, 2).reshape([chunks, heads, moments, steps]);
            let mask = self.floats(&batch.mask, [chunks, 1, moments, steps]);
            let scores = query.clone().matmul(key.swap_dims(2, 3)) + gaps + mask;
            let own_score = (query * own_key).sum_dim(3);
            let shares = softmax(Tensor::cat(vec![scores, own_score], 3), 3);
            shares.clone().narrow(3, 0, steps).matmul(value) + shares.narrow(3, steps, 1) * own_value
        };
        let seen = seen.swap_dims(1, 2).reshape([rows, TOWER_DIM]);
        let now = now + self.linear(seen, Part::AttentionOut);
        let inner = relu(self.linear(self.norm(now.clone(), Part::ForwardNorm), Part::ForwardHidden));
        let now = now + self.linear(inner, Part::ForwardOut);
        let summary = self.floats(&batch.summary, [rows, SUMMARY]);
        let fused = relu(self.linear(Tensor::cat(vec![now, summary, fixed], 1), Part::FuseHidden));
        self.finish(self.linear(fused, Part::FuseOut))
    }

    /// Static features and time features of each view, `(chunks * moments, width)`.
    fn fixed(&self, batch: &Batch) -> Tensor<B, 2> {
        let (chunks, moments) = (batch.chunks, batch.moments);
        let time = self.floats(&batch.time, [chunks * moments, TIME_FEATURES]);
        let mut parts: Vec<Tensor<B, 2>> = batch
            .person_categories
            .iter()
            .enumerate()
            .map(|(index, rows)| self.tensors[index].clone().select(0, self.places(rows)))
            .collect();
        let numbers = batch.person_numbers.len() / chunks;
        if numbers > 0 {
            parts.push(self.floats(&batch.person_numbers, [chunks, numbers]));
        }
        if parts.is_empty() {
            return time;
        }
        let fixed = Tensor::cat(parts, 1);
        let width = fixed.dims()[1];
        let fixed = fixed.reshape([chunks, 1, width]).repeat_dim(1, moments).reshape([chunks * moments, width]);
        Tensor::cat(vec![fixed, time], 1)
    }

    /// Log-odds of a like at each view, `(chunks * moments, 1)`.
    pub fn log_odds(&self, batch: &Batch, people: Tensor<B, 2>, items: Tensor<B, 2>) -> Tensor<B, 2> {
        let dots = (people * items.select(0, self.places(&batch.targets))).sum_dim(1);
        let output = self.part(Part::Output);
        dots * output.clone().narrow(1, 0, 1) + output.narrow(1, 1, 1)
    }

    /// Binary cross-entropy of the labels, weighted and summed, `(1,)`: `max(x, 0) - x y + ln(1 + exp(-|x|))`.
    pub fn cross_entropy(&self, batch: &Batch, log_odds: Tensor<B, 2>) -> Tensor<B, 1> {
        let rows = batch.chunks * batch.moments;
        let (labels, weights) = (self.floats(&batch.labels, [rows, 1]), self.floats(&batch.weights, [rows, 1]));
        let losses = relu(log_odds.clone()) - log_odds.clone() * labels + log_odds.abs().neg().exp().log1p();
        (losses * weights).sum()
    }

    /// Sampled softmax over the available items of a batch with logQ correction, weighted and summed over the views,
    /// `(1,)`.
    ///
    /// Source: Yi et al., *Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations*, RecSys
    /// 2019.
    pub fn softmax_loss(&self, batch: &Batch, people: Tensor<B, 2>, items: Tensor<B, 2>) -> Tensor<B, 1> {
        let (rows, count) = (batch.chunks * batch.moments, batch.items());
        let scale = self.part(Part::Output).narrow(1, 0, 1);
        let scores = people.matmul(items.transpose()) * scale;
        let shifts = self.floats(&batch.shifts, [rows, count]);
        let shares = burn_tensor::activation::log_softmax(scores + shifts, 1);
        let hits = Tensor::<B, 2, Int>::from_data(TensorData::new(batch.targets.clone(), [rows, 1]), &self.device);
        let weights = self.floats(&batch.weights, [rows, 1]);
        (shares.gather(1, hits).neg() * weights).sum()
    }
}
