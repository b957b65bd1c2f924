//! Item similarity: items that resemble an item, by their visitors, by their embedding, or by both.
//!
//! Invariant: available items other than the item itself, each at most once, by descending score, then by id. The scan reads
//! 8-bit codes and computes in f32 whatever their known error leaves undecided, so the order is that of f32.
//! Source of the fusion: Cormack, Clarke and Büttcher, *Reciprocal rank fusion outperforms Condorcet and individual rank
//! learning methods*, SIGIR 2009.
//! Deliberately absent: the person; `rank` orders items for a person.

use std::collections::BTreeMap;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::catalogue::block::{BLOCK, place};
use crate::engine::experts::online::Quantised;
use crate::engine::numeric::kernels::{dot, dot_rows};
use crate::engine::world::World;

use super::scan::undecided;

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
    match by {
        SimilarBy::Visits => by_visits(world, item, limit, now),
        SimilarBy::Embedding => by_embedding(world, item, limit, now),
        SimilarBy::Both => {
            let depth = FUSED.max(limit);
            fused([by_visits(world, item, depth, now), by_embedding(world, item, depth, now)], limit)
        }
    }
}

/// The best `limit` items of both lists, by reciprocal rank fusion.
fn fused(lists: [Vec<Similar>; 2], limit: usize) -> Vec<Similar> {
    let mut all: BTreeMap<ItemId, Similar> = BTreeMap::new();
    for list in lists {
        for (rank, one) in list.into_iter().enumerate() {
            let sum = all.entry(one.item).or_insert(Similar { score: 0.0, ..one });
            sum.score += 1.0 / (RANK_OFFSET + 1.0 + rank as f32);
            sum.visits = sum.visits.or(one.visits);
            sum.embedding = sum.embedding.or(one.embedding);
        }
    }
    best(all.into_values().collect(), limit)
}

/// The best `limit` items, best first.
fn best(mut list: Vec<Similar>, limit: usize) -> Vec<Similar> {
    list.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
    list.truncate(limit);
    list
}

fn is_shown(world: &World, item: ItemId, of: ItemId, now: Millis) -> bool {
    item != of && world.item(item).is_some_and(|item| item.is_available(now))
}

fn by_visits(world: &World, item: ItemId, limit: usize, now: Millis) -> Vec<Similar> {
    let neighbours = world.neighbours().similar(item).iter().flat_map(|group| group.iter());
    let shown = neighbours.filter(|(other, _)| is_shown(world, *other, item, now));
    let one = |(item, score)| Similar { item, score, visits: Some(score), embedding: None };
    best(shown.map(one).collect(), limit)
}

fn by_embedding(world: &World, item: ItemId, limit: usize, now: Millis) -> Vec<Similar> {
    let (index, row) = place(item);
    let Some(block) = world.blocks().get(index) else { return Vec::new() };
    let Some(inverse_length) = block.columns().inverse_length.get(row).copied().filter(|length| *length > 0.0) else {
        return Vec::new();
    };
    let w: Vec<f32> = block.embedding(row).iter().map(|x| x * inverse_length).collect();
    let (rough, error) = scan(world, &w, item, now);
    let exactly = |(_, id): &(f32, u32)| {
        let (index, row) = place(ItemId(*id));
        let block = &world.blocks()[index];
        let cosine = (dot(&w, block.embedding(row)) * block.columns().inverse_length[row]).clamp(-1.0, 1.0);
        Similar { item: ItemId(*id), score: cosine, visits: None, embedding: Some(cosine) }
    };
    best(undecided(rough, error, limit, exactly, |one| one.score), limit)
}

/// Cosines of all available items by id, from their 8-bit codes, and their largest error.
fn scan(world: &World, w: &[f32], of: ItemId, now: Millis) -> (Vec<(f32, u32)>, f32) {
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
            // Open items without windows need no look at the item.
            if columns.windowed[at] && !block.items()[at].is_available(now) {
                continue;
            }
            let unit = columns.scale[at] * columns.inverse_length[at];
            error = error.max(unit * quantised.error);
            rough.push((*product as f32 * unit * quantised.scale, first + row));
        }
    }
    (rough, error)
}
