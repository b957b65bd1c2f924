//! Items that resemble an item: by their visitors, by their embedding, or by both.
//!
//! Invariant: available items other than the item itself, each at most once, by descending score, then by id. The scan reads
//! 8-bit codes and computes in f32 whatever their known error leaves undecided, so the order is that of f32.
//! Source of the fusion: Cormack, Clarke and Büttcher, *Reciprocal rank fusion outperforms Condorcet and individual rank
//! learning methods*, SIGIR 2009.
//! Deliberately absent: the person; `rank` orders items for a person.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::catalogue::block::{BLOCK, place};
use crate::engine::experts::online::Quantised;
use crate::engine::numeric::kernels::{dot, dot_rows};
use crate::engine::world::World;

/// Items of each list that take part in the fusion.
const FUSED: usize = 200;
/// Constant of reciprocal rank fusion, as in its source.
const RANK_OFFSET: f32 = 60.0;

/// The measure of similarity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimilarBy {
    /// Users who visited both.
    Visits,
    /// Cosine of the embeddings.
    Embedding,
    /// Reciprocal rank fusion of both.
    #[default]
    Both,
}

/// A similar item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similar {
    /// Id of the item.
    pub item: ItemId,
    /// The score that the list is ordered by.
    pub score: f32,
    /// Cosine of the damped visit counts over all users, in (0, 1]; `None` outside of the published neighbours.
    pub visits: Option<f32>,
    /// Cosine of the embeddings, in [-1, 1]; `None` where it was not computed.
    pub embedding: Option<f32>,
}

/// The most similar available items at `now`, at most `limit`.
#[must_use]
pub fn similar(world: &World, item: ItemId, by: SimilarBy, limit: usize, now: Millis) -> Vec<Similar> {
    let depth = if by == SimilarBy::Both { FUSED.max(limit) } else { limit };
    let visits = || by_visits(world, item, depth, now);
    let embedding = || by_embedding(world, item, depth, now);
    let scored = |list: Vec<(f32, ItemId)>, put: fn(&mut Similar)| -> Vec<Similar> {
        let one = |(score, item)| {
            let mut one = Similar { item, score, visits: None, embedding: None };
            put(&mut one);
            one
        };
        list.into_iter().map(one).collect()
    };
    match by {
        SimilarBy::Visits => scored(visits(), |one| one.visits = Some(one.score)),
        SimilarBy::Embedding => scored(embedding(), |one| one.embedding = Some(one.score)),
        SimilarBy::Both => {
            let mut all: BTreeMap<ItemId, Similar> = BTreeMap::new();
            for (list, of_visits) in [(visits(), true), (embedding(), false)] {
                for (rank, (score, item)) in list.into_iter().enumerate() {
                    let one = all.entry(item).or_insert(Similar { item, score: 0.0, visits: None, embedding: None });
                    one.score += 1.0 / (RANK_OFFSET + 1.0 + rank as f32);
                    *(if of_visits { &mut one.visits } else { &mut one.embedding }) = Some(score);
                }
            }
            let mut all: Vec<Similar> = all.into_values().collect();
            all.sort_by(|a, b| best_first(&(a.score, a.item), &(b.score, b.item)));
            all.truncate(limit);
            all
        }
    }
}

fn best_first(a: &(f32, ItemId), b: &(f32, ItemId)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

fn is_shown(world: &World, item: ItemId, of: ItemId, now: Millis) -> bool {
    item != of && world.item(item).is_some_and(|item| item.is_available(now))
}

fn by_visits(world: &World, item: ItemId, limit: usize, now: Millis) -> Vec<(f32, ItemId)> {
    let neighbours = world.neighbours().similar(item).iter().flat_map(|group| group.iter());
    let shown = neighbours.filter(|(other, _)| is_shown(world, *other, item, now));
    let mut list: Vec<(f32, ItemId)> = shown.map(|(other, strength)| (strength, other)).collect();
    list.sort_by(best_first);
    list.truncate(limit);
    list
}

fn by_embedding(world: &World, item: ItemId, limit: usize, now: Millis) -> Vec<(f32, ItemId)> {
    let (index, row) = place(item);
    let Some(block) = world.blocks().get(index) else { return Vec::new() };
    let Some(inverse_length) = block.columns().inverse_length.get(row).copied().filter(|length| *length > 0.0) else {
        return Vec::new();
    };
    let w: Vec<f32> = block.embedding(row).iter().map(|x| x * inverse_length).collect();
    let (mut rough, error) = scan(world, &w, item, now);
    let exactly = |id: ItemId| {
        let (index, row) = place(id);
        let block = &world.blocks()[index];
        ((dot(&w, block.embedding(row)) * block.columns().inverse_length[row]).clamp(-1.0, 1.0), id)
    };
    if rough.len() > limit && limit > 0 {
        rough.select_nth_unstable_by(limit - 1, best_first);
        // `limit` items reach this cosine. An item that cannot reach it within the error bound is not among the best.
        let reached = rough[..limit].iter().fold(f32::INFINITY, |least, (_, id)| least.min(exactly(*id).0));
        // A margin above the bound covers the rounding of the f32 sums.
        rough.retain(|(cosine, _)| *cosine >= reached - error - 1e-4);
    }
    let mut list: Vec<(f32, ItemId)> = rough.into_iter().map(|(_, id)| exactly(id)).collect();
    list.sort_by(best_first);
    list.truncate(limit);
    list
}

/// Cosines of all available items from their 8-bit codes, and their largest error.
fn scan(world: &World, w: &[f32], of: ItemId, now: Millis) -> (Vec<(f32, ItemId)>, f32) {
    let (quantised, open) = (Quantised::of(w), world.open_at(now));
    let (mut rough, mut error) = (Vec::with_capacity(open.len() as usize), 0.0_f32);
    let (mut rows, mut dots) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
    for (index, block) in world.blocks().iter().enumerate() {
        let (first, columns) = ((index * BLOCK) as u32, block.columns());
        rows.clear();
        dots.clear();
        let open = open.range(first..first + block.items().len() as u32).map(|id| id - first);
        rows.extend(open.filter(|row| columns.inverse_length[*row as usize] > 0.0 && first + row != of.0));
        dot_rows(&quantised.weights, block.codes(), &rows, &mut dots);
        for (row, product) in rows.iter().zip(&dots) {
            let at = *row as usize;
            if !block.items()[at].is_available(now) {
                continue;
            }
            let unit = columns.scale[at] * columns.inverse_length[at];
            error = error.max(unit * quantised.error);
            rough.push((*product as f32 * unit * quantised.scale, ItemId(first + row)));
        }
    }
    (rough, error)
}
