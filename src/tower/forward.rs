//! The forward pass for serving, on slices: one item vector or one user vector at a time.
//!
//! Invariant: pure, with no state but the weights, so threads share a model; a vector that is not finite becomes zero.
//! Tests compare the results with `training::network`. Attention runs over the normed steps themselves: the query
//! passes the key matrix once, and the attended sum passes the value matrix once. Absent on purpose: the tensor
//! library, threads, caches.

use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;
use crate::engine::numeric::kernels::{add_product, dot};
use crate::engine::two_tower::{ItemFacts, Step, TOWER_DIM, TOWER_HISTORY_MAX, TowerVector, TwoTower};
use crate::tower::history::{GAP_FEATURES, gap_features, sign_place, summary};
use crate::tower::layout::{HEADS_MAX, HIDDEN_MAX, NORM_EPSILON, Part, Shapes, Sizes};
use crate::tower::schema::{Components, Schema, time_features};

/// Bound on the absolute value of log-odds.
const LOG_ODDS_MAX: f32 = 30.0;

/// A model ready to serve: weights, transposed where the forward pass reads rows by input.
#[derive(Debug)]
pub struct Forward {
    version: ModelVersion,
    schema: Schema,
    sizes: Sizes,
    components: Components,
    /// Embedding tables of user categories, row by row.
    categories: Vec<Vec<f32>>,
    topics: Vec<f32>,
    item: [Linear; 2],
    step: [Linear; 3],
    now: Linear,
    attention_norm: Norm,
    query: Linear,
    /// Per head, `(64, 64 / heads)`: maps the head's query to the space of normed steps. The key bias maps separately.
    keys: Vec<f32>,
    key_bias: Vec<f32>,
    values: Linear,
    attention_out: Linear,
    gap: Vec<f32>,
    forward_norm: Norm,
    forward: [Linear; 2],
    fuse: [Linear; 2],
    scale: f32,
    bias: f32,
}

/// `W x + b`, with the matrix transposed so that a row belongs to an input.
#[derive(Debug)]
struct Linear {
    turned: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    /// Transposes a matrix of shape `(out, in)`.
    fn new(weight: &[f32], bias: &[f32]) -> Linear {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len().max(1));
        let mut turned = vec![0.0; weight.len()];
        for (output, row) in weight.chunks(inputs.max(1)).enumerate() {
            for (input, weight) in row.iter().enumerate() {
                turned[input * outputs + output] = *weight;
            }
        }
        Linear { turned, bias: bias.to_vec() }
    }

    fn apply(&self, x: &[f32], out: &mut [f32]) {
        out.copy_from_slice(&self.bias);
        add_product(x, &self.turned, out);
    }

    fn to_vector(&self, x: &[f32]) -> TowerVector {
        let mut out = [0.0; TOWER_DIM];
        self.apply(x, &mut out);
        out
    }
}

/// Two linear layers with a ReLU between.
fn perceptron(layers: &[Linear; 2], x: &[f32]) -> TowerVector {
    let mut hidden = [0.0; HIDDEN_MAX];
    let hidden = &mut hidden[..layers[0].bias.len()];
    layers[0].apply(x, hidden);
    hidden.iter_mut().for_each(|x| *x = x.max(0.0));
    layers[1].to_vector(hidden)
}

impl Norm {
    fn apply(&self, x: &TowerVector) -> TowerVector {
        let mean = x.iter().sum::<f32>() / TOWER_DIM as f32;
        let centred = x.map(|x| x - mean);
        let by = 1.0 / (dot(&centred, &centred) / TOWER_DIM as f32 + NORM_EPSILON).sqrt();
        let mut out = [0.0; TOWER_DIM];
        for (out, (x, (weight, bias))) in out.iter_mut().zip(centred.iter().zip(self.weight.iter().zip(&self.bias))) {
            *out = x * by * weight + bias;
        }
        out
    }
}

fn finite(vector: TowerVector) -> TowerVector {
    if vector.iter().all(|x| x.is_finite()) { vector } else { [0.0; TOWER_DIM] }
}

fn add(into: &mut TowerVector, other: &TowerVector) {
    into.iter_mut().zip(other).for_each(|(into, other)| *into += other);
}

impl Forward {
    /// Splits checked weights, in the order of [`Shapes::all`], into the layers of the forward pass.
    #[must_use]
    pub fn new(
        version: ModelVersion,
        schema: Schema,
        sizes: Sizes,
        components: Components,
        weights: &[f32],
    ) -> Forward {
        let shapes = Shapes::new(&schema, &sizes);
        let part = |part: Part| &weights[shapes.part(part)];
        let linear = |weight: Part| {
            let index = shapes.index(weight);
            Linear::new(&weights[shapes.place(index)], &weights[shapes.place(index + 1)])
        };
        let norm = |weight: Part| {
            let index = shapes.index(weight);
            Norm { weight: weights[shapes.place(index)].to_vec(), bias: weights[shapes.place(index + 1)].to_vec() }
        };
        let square = TOWER_DIM * TOWER_DIM;
        let third = |weight: Part, place: usize| {
            let index = shapes.index(weight);
            let (matrix, bias) = (&weights[shapes.place(index)], &weights[shapes.place(index + 1)]);
            let (matrix, bias) = (&matrix[place * square..], &bias[place * TOWER_DIM..]);
            Linear::new(&matrix[..square], &bias[..TOWER_DIM])
        };
        let output = part(Part::Output);
        Forward {
            version,
            categories: (0..schema.person.categories.len())
                .map(|index| weights[shapes.place(index)].to_vec())
                .collect(),
            topics: part(Part::ItemTopic).to_vec(),
            item: [linear(Part::ItemHidden), linear(Part::ItemOut)],
            step: [third(Part::Step, 0), third(Part::Step, 1), third(Part::Step, 2)],
            now: linear(Part::Now),
            attention_norm: norm(Part::AttentionNorm),
            query: third(Part::AttentionIn, 0),
            // Rows of the key matrix belong to components of the query, which is the transposed layout that the way
            // back needs.
            keys: part(Part::AttentionIn)[square..2 * square].to_vec(),
            key_bias: part(Part::AttentionInBias)[TOWER_DIM..2 * TOWER_DIM].to_vec(),
            values: third(Part::AttentionIn, 2),
            attention_out: linear(Part::AttentionOut),
            gap: part(Part::AttentionGap).to_vec(),
            forward_norm: norm(Part::ForwardNorm),
            forward: [linear(Part::ForwardHidden), linear(Part::ForwardOut)],
            fuse: [linear(Part::FuseHidden), linear(Part::FuseOut)],
            scale: output[0],
            bias: output[1],
            schema,
            sizes,
            components,
        }
    }

    /// Attention of the present token over the history and itself: the weighted sum of values, `(64,)`.
    fn attend(&self, now: &TowerVector, history: &[Step<'_>], at: Millis) -> TowerVector {
        let (heads, head) = (self.sizes.heads, TOWER_DIM / self.sizes.heads);
        let own = self.attention_norm.apply(now);
        let mut query = self.query.to_vector(&own);
        query.iter_mut().for_each(|x| *x /= (head as f32).sqrt());
        let mut asked = [[0.0; TOWER_DIM]; HEADS_MAX];
        let mut shift = [0.0; HEADS_MAX];
        let asked = &mut asked[..heads];
        for (index, asked) in asked.iter_mut().enumerate() {
            let places = index * head..(index + 1) * head;
            add_product(&query[places.clone()], &self.keys[places.start * TOWER_DIM..places.end * TOWER_DIM], asked);
            shift[index] = dot(&query[places.clone()], &self.key_bias[places]);
        }
        let mut steps = [[0.0; TOWER_DIM]; TOWER_HISTORY_MAX + 1];
        let mut scores = [[0.0; TOWER_HISTORY_MAX + 1]; HEADS_MAX];
        let count = history.len();
        for (place, step) in history.iter().enumerate() {
            steps[place] = self.attention_norm.apply(&self.step[sign_place(step.sign)].to_vector(step.item));
            let gaps = gap_features(at.since(step.at), count - 1 - place);
            for (index, asked) in asked.iter().enumerate() {
                let by_time = dot(&gaps, &self.gap[index * GAP_FEATURES..(index + 1) * GAP_FEATURES]);
                scores[index][place] = dot(asked, &steps[place]) + shift[index] + by_time;
            }
        }
        steps[count] = own;
        let mut seen = [0.0; TOWER_DIM];
        for (index, asked) in asked.iter().enumerate() {
            let scores = &mut scores[index][..=count];
            scores[count] = dot(asked, &own) + shift[index];
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut total = 0.0;
            for score in scores.iter_mut() {
                *score = (*score - top).exp();
                total += *score;
            }
            let mut mean = [0.0; TOWER_DIM];
            for (score, step) in scores.iter().zip(&steps) {
                let share = score / total;
                mean.iter_mut().zip(step).for_each(|(mean, step)| *mean += share * step);
            }
            let places = index * head..(index + 1) * head;
            seen[places.clone()].copy_from_slice(&self.values.to_vector(&mean)[places]);
        }
        seen
    }
}

impl TwoTower for Forward {
    fn version(&self) -> ModelVersion {
        self.version
    }

    fn history(&self) -> usize {
        self.sizes.history
    }

    fn lacking(&self, item: &ItemFacts<'_>) -> Vec<String> {
        self.schema.item.lacking(item).into_iter().map(str::to_owned).collect()
    }

    fn item(&self, item: &ItemFacts<'_>) -> TowerVector {
        let schema = &self.schema.item;
        let mut x = Vec::with_capacity(schema.topic_dim + schema.dense());
        let row = schema.topic(item.topic) as usize * schema.topic_dim;
        x.extend_from_slice(&self.topics[row..row + schema.topic_dim]);
        schema.push(item, &self.components, &mut x);
        finite(self.schema.similarity.finish(perceptron(&self.item, &x)))
    }

    fn person(&self, attributes: Option<&str>, history: &[Step<'_>], now: Millis) -> TowerVector {
        let history = &history[history.len().saturating_sub(self.sizes.history)..];
        let schema = &self.schema.person;
        let code = schema.code(attributes);
        let mut fixed = Vec::with_capacity(schema.width() + 6);
        for ((category, table), row) in schema.categories.iter().zip(&self.categories).zip(&code.categories) {
            let from = *row as usize * category.dim;
            fixed.extend_from_slice(&table[from..from + category.dim]);
        }
        fixed.extend_from_slice(&code.numbers);
        fixed.extend(time_features(now));
        let mut token = self.now.to_vector(&fixed);
        let seen = self.attend(&token, history, now);
        add(&mut token, &self.attention_out.to_vector(&seen));
        let inner = perceptron(&self.forward, &self.forward_norm.apply(&token));
        add(&mut token, &inner);
        let mut counts = [0; 3];
        history.iter().for_each(|step| counts[sign_place(step.sign)] += 1);
        let summary = summary(counts, history.last().map(|step| step.at), now);
        let mut fused = Vec::with_capacity(TOWER_DIM + summary.len() + fixed.len());
        fused.extend_from_slice(&token);
        fused.extend_from_slice(&summary);
        fused.extend_from_slice(&fixed);
        finite(self.schema.similarity.finish(perceptron(&self.fuse, &fused)))
    }

    fn log_odds(&self, dot: f32) -> f32 {
        let log_odds = self.scale * dot + self.bias;
        if log_odds.is_nan() { 0.0 } else { log_odds.clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX) }
    }
}
