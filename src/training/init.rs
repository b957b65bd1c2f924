//! Initial weights.
//!
//! Invariant: a seed gives one set of weights. The row of unknown values and the columns of missing flags start at
//! zero, where no gradient moves them unless they occur in training.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::engine::two_tower::TOWER_DIM;
use crate::tower::history::SUMMARY;
use crate::tower::layout::{Part, Shapes};
use crate::tower::schema::{Schema, Similarity};

/// Initial weights of all tensors; `prior` is the log-odds of a like in training.
#[must_use]
pub fn weights(schema: &Schema, shapes: &Shapes, prior: f32, seed: u64) -> Vec<f32> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut out = Vec::with_capacity(shapes.total());
    for shape in &shapes.all {
        // Uniform, with the variance that keeps the scale of activations; embedding tables start small.
        let bound = match (shape.is_table(), shape.vector || shape.name == "attention.gap.weight") {
            (true, _) => 0.1,
            (_, true) => 0.0,
            _ => (3.0 / shape.columns as f32).sqrt(),
        };
        let from = out.len();
        out.extend((0..shape.len()).map(|_| bound * (2.0 * chance.random::<f32>() - 1.0)));
        if shape.is_table() {
            out[from..from + shape.columns].fill(0.0);
        }
        if shape.name.ends_with("norm.weight") {
            out[from..].fill(1.0);
        }
    }
    // Either scale gives log-odds of variance one: a dot product of 64 numbers has a deviation of 8, a cosine of 1/8.
    let scale = match schema.similarity {
        Similarity::Dot => 1.0 / 8.0,
        Similarity::Cosine => 8.0,
    };
    out[shapes.part(Part::Output)].copy_from_slice(&[scale, prior]);
    // Residual branches start small, so that the token passes through at first.
    for part in [Part::AttentionOut, Part::ForwardOut] {
        out[shapes.part(part)].iter_mut().for_each(|x| *x *= 0.3);
    }
    let person = flags_of_people(schema);
    let mut clear = |part: Part, columns: &[usize]| {
        let width = shapes.all[shapes.index(part)].columns;
        for row in out[shapes.part(part)].chunks_mut(width) {
            columns.iter().for_each(|column| row[*column] = 0.0);
        }
    };
    clear(Part::Now, &person);
    clear(Part::FuseHidden, &person.iter().map(|column| TOWER_DIM + SUMMARY + column).collect::<Vec<_>>());
    clear(Part::ItemHidden, &flags_of_items(schema));
    out
}

/// Columns of the missing flags among a user's static features.
fn flags_of_people(schema: &Schema) -> Vec<usize> {
    let from: usize = schema.person.categories.iter().map(|category| category.dim).sum();
    (0..schema.person.numbers.len()).map(|number| from + 2 * number + 1).collect()
}

/// Columns of the missing flags among an item's features.
fn flags_of_items(schema: &Schema) -> Vec<usize> {
    let item = &schema.item;
    let mut at = item.topic_dim;
    let mut flags = Vec::new();
    if let Some(reduction) = item.embedding {
        at += reduction.to + 1;
        flags.push(at - 1);
    }
    if !item.text.is_empty() {
        at += item.text.len() + 1;
        flags.push(at - 1);
    }
    flags.extend((0..item.numbers.len()).map(|number| at + 2 * number + 1));
    flags
}
