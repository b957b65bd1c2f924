//! Scores of the whole catalogue, block by block: most items differ in a few columns only, which experts add up side by side.
//! Items with evidence from the person's history or friends, and items with windows, are scored by their rows.
//!
//! Invariant: a score that is added up by block is bit-equal to the score of the item's row. The error of the rough scan over
//! 8-bit codes has a known bound; the scan scores again in f32 whatever the bound leaves undecided.
//! Deliberately absent: the shares themselves (`engine::experts`), choosing and ordering (`rank`).

use multiversion::multiversion;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::catalogue::block::{BLOCK, Block, Columns};
use crate::engine::experts::Experts;
use crate::engine::experts::expertise::{Apart, BlockRows, Lane};
use crate::engine::experts::online::{Online, Quantised};
use crate::engine::features::{FEATURES, Features, at, shares};
use crate::engine::numeric::kernels::{dot, dot_rows};

use super::scorer::{Scorer, sum};
use super::types::{Candidates, Scored};

/// Candidates from which on two threads share a scan: passing a half over takes some microseconds, and scanning that many takes
/// about a millisecond.
const SHARED_FROM: usize = 16_384;

/// Scores of one block, and the columns that they are computed from.
struct Lanes {
    /// Log-odds of the online model.
    online: Lane,
    /// Milliseconds since each item was made.
    ages: Lane,
    scores: Lane,
    /// Marks items without a score here: their rows score them, or no item has this place.
    apart: [bool; BLOCK],
}

impl Lanes {
    fn new() -> Lanes {
        Lanes { online: [0.0; BLOCK], ages: [0.0; BLOCK], scores: [0.0; BLOCK], apart: [true; BLOCK] }
    }

    /// Scores a block whose log-odds of the online model stand in their lane.
    fn add_up(&mut self, scorer: &Scorer<'_>, weights: &Features, index: usize, block: &Block) {
        write_ages(&block.columns().created, scorer.now, &mut self.ages);
        let rows = BlockRows {
            index,
            block,
            columns: block.columns(),
            online: &self.online,
            ages: &self.ages,
            evidence: &scorer.evidence,
        };
        let mut apart = Apart::beyond(&rows);
        scorer.experts.mark_apart(&rows, &mut apart);
        self.apart = apart.marks;
        self.scores.fill(0.0);
        add_shares(&scorer.experts, &rows, weights, &mut self.scores);
    }
}

/// Adds the shares of all experts. Compiled per instruction set with all of their block forms inside.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_shares(experts: &Experts<'_>, rows: &BlockRows<'_>, weights: &Features, scores: &mut Lane) {
    experts.add_block(rows, weights, scores, |_, _| {});
}

/// Writes the scores of a block, and NaN for the items that stand apart.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn write_scores(scores: &Lane, apart: &[bool; BLOCK], out: &mut Lane) {
    for ((out, score), apart) in out.iter_mut().zip(scores).zip(apart) {
        *out = if *apart { f32::NAN } else { *score };
    }
}

/// Writes the rough log-odds of the online model for some rows of a block, from their dot products, and returns their largest
/// error.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn write_online(
    online: &Online<'_>,
    columns: &Columns,
    (rows, dots): (&[u32], &[i32]),
    quantised: &Quantised,
    out: &mut Lane,
) -> f32 {
    let mut error = 0.0_f32;
    for (row, product) in rows.iter().map(|row| *row as usize).zip(dots) {
        let scale = columns.scale[row];
        error = error.max(scale * columns.inverse_norm[row] * quantised.error);
        out[row] = online.log_odds(*product as f32 * scale * quantised.scale, columns, row);
    }
    error
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn write_ages(created: &[Millis], now: Millis, ages: &mut Lane) {
    for (age, created) in ages.iter_mut().zip(created) {
        *age = now.since(*created) as f32;
    }
}

/// All items that may be among the best `limit`, each computed once by `exactly`. `rough` has scores and ids, and `error` is
/// the largest error of these scores.
pub(super) fn undecided<T>(
    mut rough: Vec<(f32, u32)>,
    error: f32,
    limit: usize,
    exactly: impl Fn(&(f32, u32)) -> T,
    score: impl Fn(&T) -> f32,
) -> Vec<T> {
    let Some(last) = limit.checked_sub(1) else { return Vec::new() };
    if rough.len() <= limit {
        return rough.iter().map(exactly).collect();
    }
    rough.select_nth_unstable_by(last, |a, b| b.0.total_cmp(&a.0));
    // `limit` items reach this score. An item that cannot reach it within the error bound is not among the best.
    let mut found: Vec<T> = rough[..limit].iter().map(&exactly).collect();
    let reached = found.iter().fold(f32::INFINITY, |least, one| least.min(score(one)));
    // A margin above the bound covers the rounding of the f32 sums.
    let threshold = reached - if error > 0.0 { error + 1e-4 * (1.0 + reached.abs()) } else { 0.0 };
    found.extend(rough[limit..].iter().filter(|(score, _)| *score >= threshold).map(exactly));
    found
}

impl Scorer<'_> {
    /// Writes the scores of these items into `out`, in their order, by whole blocks. It pays for a large part of the catalogue.
    pub fn all(&self, items: &[ItemId], out: &mut Vec<f32>) {
        let (weights, mut lanes) = (self.block_weights(), Lanes::new());
        // NaN stands for an item that its row scores.
        let mut scores = vec![f32::NAN; self.world.blocks().len() * BLOCK];
        for ((index, block), scores) in self.world.blocks().iter().enumerate().zip(scores.as_chunks_mut::<BLOCK>().0) {
            if let Some(w) = self.profile.weights {
                let (columns, online) = (block.columns(), &self.experts.online);
                for row in 0..block.items().len() {
                    let is_somewhere = columns.inverse_norm[row] > 0.0;
                    lanes.online[row] =
                        if is_somewhere { online.log_odds(dot(w, block.embedding(row)), columns, row) } else { 0.0 };
                }
            }
            lanes.add_up(self, &weights, index, block);
            write_scores(&lanes.scores, &lanes.apart, scores);
        }
        out.clear();
        out.extend(items.iter().map(|item| match scores.get(item.0 as usize) {
            Some(score) if !score.is_nan() => *score,
            _ => self.score(*item),
        }));
    }

    /// All candidates that may be among the best `limit`, with their exact scores.
    ///
    /// The scan scores all candidates on 8-bit codes with a bounded error: `|w . x - s w' . c| <= s C`, with `s` the row's
    /// scale and `C` from [`Quantised`]. Quadratic forms add equal numbers to both sides. An item that lies further below the
    /// `limit`-th than twice the largest error cannot be among the best; all others are scored in f32.
    pub fn contenders(&self, candidates: &Candidates, limit: usize) -> Vec<Scored> {
        self.adjusted_contenders(candidates, limit, |_, score| score)
    }

    /// All candidates that may be among the best `limit` by their adjusted scores. `adjust` adds a number to the score of an
    /// item by its id.
    pub(crate) fn adjusted_contenders(
        &self,
        candidates: &Candidates,
        limit: usize,
        adjust: impl Fn(u32, f32) -> f32,
    ) -> Vec<Scored> {
        if limit == 0 {
            return Vec::new();
        }
        if candidates.0.len() <= limit as u64 {
            // All candidates fit, so each is scored exactly at once.
            let known = candidates.0.iter().filter_map(|id| {
                let columns = self.world.blocks().get(id as usize / BLOCK)?.columns();
                let created =
                    columns.created.get(id as usize % BLOCK).copied().filter(|created| *created <= self.now)?;
                Some(Scored { item: ItemId(id), score: adjust(id, self.score(ItemId(id))), created })
            });
            return known.collect();
        }
        let (mut rough, error) = self.scan(candidates);
        for (score, id) in &mut rough {
            *score = adjust(*id, *score);
        }
        let exactly = |(rough, id): &(f32, u32)| {
            let (item, columns) = (ItemId(*id), self.world.blocks()[*id as usize / BLOCK].columns());
            // Without an online model no code was read and nothing was rounded.
            let score = if error > 0.0 { adjust(*id, self.score(item)) } else { *rough };
            Scored { item, score, created: columns.created[*id as usize % BLOCK] }
        };
        undecided(rough, error, limit, exactly, |one| one.score)
    }

    /// Rough scores of all candidates by id, and their largest error. Two threads share a large scan, by whole blocks.
    fn scan(&self, candidates: &Candidates) -> (Vec<(f32, u32)>, f32) {
        let mut ids = vec![0; candidates.0.len() as usize];
        let ids = &*candidates.0.iter().next_many(&mut ids);
        if ids.len() < SHARED_FROM { self.scan_ids(ids) } else { self.scan_halves(ids) }
    }

    /// [`Scorer::scan_ids`] by two threads, each of which scans about a half of the ids.
    pub(super) fn scan_halves(&self, ids: &[u32]) -> (Vec<(f32, u32)>, f32) {
        let middle = ids.get(ids.len() / 2).map_or(0, |id| id / BLOCK as u32 * BLOCK as u32);
        let (first, second) = ids.split_at(ids.partition_point(|id| *id < middle));
        let ((mut rough, error), (more, other)) = rayon_core::join(|| self.scan_ids(first), || self.scan_ids(second));
        rough.extend(more);
        (rough, error.max(other))
    }

    /// Rough scores of ascending ids, and their largest error. It reads the columns of blocks, not the items.
    pub(super) fn scan_ids(&self, mut ids: &[u32]) -> (Vec<(f32, u32)>, f32) {
        let mut rough = Vec::with_capacity(ids.len());
        let quantised = self.profile.weights.map(Quantised::of);
        let (mut rows, mut dots) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
        let (weights, mut lanes, mut error) = (self.block_weights(), Lanes::new(), 0.0_f32);
        while let Some(first) = ids.first() {
            let index = *first as usize / BLOCK;
            let start = (index * BLOCK) as u32;
            let Some(block) = self.world.blocks().get(index) else { break };
            let (columns, end) = (block.columns(), start + block.items().len() as u32);
            let (here, later) = ids.split_at(ids.partition_point(|id| *id < start + BLOCK as u32));
            ids = later;
            rows.clear();
            rows.extend(here.iter().filter(|id| **id < end).map(|id| id - start));
            if let Some(quantised) = &quantised {
                dots.clear();
                dot_rows(&quantised.weights, block.codes(), &rows, &mut dots);
                let largest = write_online(&self.experts.online, columns, (&rows, &dots), quantised, &mut lanes.online);
                error = error.max(largest);
            }
            lanes.add_up(self, &weights, index, block);
            for id in rows.iter().map(|row| start + row) {
                let row = (id - start) as usize;
                if columns.created[row] > self.now {
                    continue;
                }
                let score = match lanes.apart[row] {
                    false => lanes.scores[row],
                    true => {
                        let mut features = [0.0; FEATURES];
                        let segment = self.describe_row(ItemId(id), block, lanes.online[row], &mut features);
                        sum(shares(&self.weights[segment.index()], &features))
                    }
                };
                rough.push((score, id));
            }
        }
        (rough, error * self.weights.iter().fold(0.0_f32, |most, weights| most.max(weights[at::ONLINE].abs())))
    }

    /// Candidates of the flat feed: items by the person and by people whom they follow. A person who follows no one gets all items.
    pub(crate) fn flat_candidates(&self, candidates: &Candidates) -> Vec<Scored> {
        let everything = self.profile.follows.is_empty();
        let mut ids = vec![0; candidates.0.len() as usize];
        let ids = &*candidates.0.iter().next_many(&mut ids);
        let mut found = Vec::with_capacity(if everything { ids.len() } else { 0 });
        for ids in ids.chunk_by(|a, b| *a as usize / BLOCK == *b as usize / BLOCK) {
            let Some(block) = self.world.blocks().get(ids[0] as usize / BLOCK) else { break };
            let Columns { created, author, .. } = block.columns();
            for id in ids {
                let row = *id as usize % BLOCK;
                let (Some(created), Some(author)) = (created.get(row).copied(), author.get(row).copied()) else {
                    break;
                };
                let shown = everything || author == self.profile.user.0 || self.experts.followed.is_followed(author);
                if shown && created <= self.now {
                    found.push(Scored { item: ItemId(*id), score: 0.0, created });
                }
            }
        }
        found
    }
}
