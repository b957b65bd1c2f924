//! Candidates -> score -> select, as types: [`Candidates`] become [`Scored`] become [`FeedItem`]s.
//!
//! Invariant: ranking reorders what is available and not hidden: nothing lost but what is beyond the limit, nothing
//! invented, nothing twice. Equal scores are ordered newest first, then by item id, so a feed never flickers. Contributions of an item sum to its score exactly as
//! they are added here: in the order of `Expert::ALL`.
//! Absent on purpose: a standing pool; all that is available is scored each time, which 10,000 items allow.

pub mod diff;
pub mod gate;

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use crate::domain::feeds::{Contribution, Expert, FeedItem, Ranking};
use crate::domain::ids::{ItemId, TopicId, UserId};
use crate::domain::time::Millis;
use crate::engine::simd::{dot, dot_rows};
use crate::engine::world::{BLOCK, Block, NOBODY, Vectors, World};

/// The flat feed reaches back over this many items; the topic feed re-sorts these.
pub const FLAT_SPAN: usize = 500;

/// Log-odds of the online model enter the blend within these bounds, so that one expert cannot silence the others.
pub const ONLINE_MAX: f32 = 8.0;

/// What ranking reads of a person.
pub struct Taste<'a> {
    /// Mean weights of the online model, `(dim,)`; `None` before the first label.
    pub weights: Option<&'a [f32]>,
    /// Topic weights above 0, by topic.
    pub topics: Vec<(TopicId, f32)>,
    /// Whom they follow, sorted.
    pub follows: &'a [UserId],
    /// Themselves: their own posts count as followed in the flat feed.
    pub user: UserId,
    /// Never shown again.
    pub hidden: &'a RoaringBitmap,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How to rank.
    pub ranking: Ranking,
    /// At most so many items.
    pub limit: usize,
    /// Say why.
    pub explain: bool,
}

/// Items that may be shown, by id.
pub struct Candidates(RoaringBitmap);

/// A candidate with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scored {
    item: ItemId,
    score: f32,
    /// For `flat`: newest first needs more than f32.
    created: Millis,
}

/// The best `ask.limit` of `open` for this person at `now`.
#[must_use]
pub fn rank(world: &World, open: &RoaringBitmap, taste: &Taste<'_>, now: Millis, ask: Ask) -> Vec<FeedItem> {
    let candidates = Candidates(open - taste.hidden);
    let scorer = Scorer::new(world, taste, now);
    match ask.ranking {
        Ranking::Model => {
            let scored = scorer.blend_all(&candidates);
            let best = select(scored, ask.limit, by_score);
            best.into_iter()
                .map(|one| FeedItem {
                    item: one.item,
                    score: one.score,
                    why: if ask.explain { contributions(scorer.shares(one.item)) } else { Vec::new() },
                })
                .collect()
        }
        Ranking::Flat | Ranking::Topics => {
            let span = if ask.ranking == Ranking::Flat { ask.limit } else { ask.limit.max(FLAT_SPAN) };
            let newest = select(scorer.flat_candidates(&candidates), span, by_time);
            let oldest_newest = (newest.last().map(|one| one.created), newest.first().map(|one| one.created));
            let weight_of = |item| if ask.ranking == Ranking::Topics { scorer.topic_weight(item) } else { 0.0 };
            let scored = newest
                .into_iter()
                .map(|one| {
                    let fresh = span_freshness(one.created, oldest_newest);
                    (Scored { score: fresh + weight_of(one.item), ..one }, fresh)
                })
                .collect::<Vec<_>>();
            let explain = |one: &Scored, fresh: f32| match (ask.explain, ask.ranking) {
                (false, _) => Vec::new(),
                (true, Ranking::Flat) => vec![Contribution { expert: Expert::Freshness, amount: fresh }],
                (true, _) => vec![
                    Contribution { expert: Expert::Topic, amount: weight_of(one.item) },
                    Contribution { expert: Expert::Freshness, amount: fresh },
                ],
            };
            let mut scored: Vec<(Scored, f32)> = scored;
            if ask.ranking == Ranking::Topics {
                scored.sort_by(|a, b| by_score(&a.0, &b.0));
            }
            scored
                .into_iter()
                .take(ask.limit)
                .map(|(one, fresh)| FeedItem { item: one.item, score: one.score, why: explain(&one, fresh) })
                .collect()
        }
    }
}

/// The values of the experts for one item, before they are weighted: in the order of `Expert::ALL`.
#[must_use]
pub fn features(world: &World, taste: &Taste<'_>, item: ItemId, now: Millis) -> [f32; Expert::ALL.len()] {
    Scorer::new(world, taste, now).features(item)
}

/// Shares of the blend for one item, in the order of `Expert::ALL`; their sum in that order is the score.
#[must_use]
pub fn blend_score(world: &World, features: &[f32; Expert::ALL.len()]) -> f32 {
    sum(weighted(world, features))
}

/// Score of the `topics` ranking for one item, with the whole catalogue's age as its span.
#[must_use]
pub fn topics_score(features: &[f32; Expert::ALL.len()]) -> f32 {
    features[1] + features[2]
}

/// Would this item, scored alone, enter a `model` feed whose lowest score is `lowest`?
#[must_use]
pub fn enters(world: &World, taste: &Taste<'_>, item: ItemId, now: Millis, lowest: f32) -> bool {
    if taste.hidden.contains(item.0) || !world.is_open(item, now) {
        return false;
    }
    sum(Scorer::new(world, taste, now).shares(item)) >= lowest
}

struct Scorer<'a> {
    world: &'a World,
    taste: &'a Taste<'a>,
    now: Millis,
    /// By topic id.
    topic_weights: Vec<f32>,
    blend: [f32; Expert::ALL.len()],
}

impl<'a> Scorer<'a> {
    fn new(world: &'a World, taste: &'a Taste<'a>, now: Millis) -> Self {
        let mut topic_weights = vec![0.0; world.topics_len() as usize];
        for (topic, weight) in &taste.topics {
            if let Some(cell) = topic_weights.get_mut(topic.0 as usize) {
                *cell = *weight;
            }
        }
        Scorer { world, taste, now, topic_weights, blend: world.settings().blend.as_array() }
    }

    /// The strongest weight among an item's topics.
    fn topic_weight(&self, item: ItemId) -> f32 {
        self.world.item(item).map_or(0.0, |item| {
            item.topics.iter().filter_map(|topic| self.topic_weights.get(topic.0 as usize)).fold(0.0, |a, b| a.max(*b))
        })
    }

    fn freshness(&self, created: Millis) -> f32 {
        let half = self.world.settings().freshness_half_ms as f32;
        half / (half + self.now.since(created) as f32)
    }

    fn is_followed(&self, author: u32) -> bool {
        author != NOBODY && self.taste.follows.binary_search(&UserId(author)).is_ok()
    }

    /// `w . (x - m) / ||x - m||`, from `w . x` and `w . m`.
    fn online(&self, w_x: f32, w_m: f32, inverse_norm: f32) -> f32 {
        ((w_x - w_m) * inverse_norm).clamp(-ONLINE_MAX, ONLINE_MAX)
    }

    fn features(&self, id: ItemId) -> [f32; Expert::ALL.len()] {
        let (Some(item), Some(block)) = (self.world.item(id), self.world.blocks().get(id.0 as usize / BLOCK)) else {
            return [0.0; Expert::ALL.len()];
        };
        let columns = block.columns();
        let row = id.0 as usize % BLOCK;
        let online = self.taste.weights.map_or(0.0, |w| {
            let w_m = self.world.centre(columns.centre[row]).map_or(0.0, |m| dot(w, m));
            self.online(dot(w, &item.embedding), w_m, columns.inverse_norm[row])
        });
        [
            online,
            self.topic_weight(id),
            self.freshness(item.created),
            f32::from(u8::from(self.is_followed(columns.author[row]))),
            self.world.popularity(id),
        ]
    }

    fn shares(&self, item: ItemId) -> [f32; Expert::ALL.len()] {
        weighted(self.world, &self.features(item))
    }

    /// Scores every candidate, block by block, without touching the items themselves.
    fn blend_all(&self, candidates: &Candidates) -> Vec<Scored> {
        let mut scored = Vec::with_capacity(candidates.0.len() as usize);
        let mut rows: Vec<u32> = Vec::with_capacity(BLOCK);
        let mut dots: Vec<f32> = Vec::with_capacity(BLOCK);
        // `w . m` by main topic; NaN where it was not needed yet.
        let mut centre_dots = vec![f32::NAN; self.world.topics_len() as usize];
        let mut ids = candidates.0.iter().peekable();
        while let Some(first) = ids.peek().copied() {
            let block_index = first as usize / BLOCK;
            let end = ((block_index + 1) * BLOCK) as u64;
            rows.clear();
            while let Some(id) = ids.next_if(|id| u64::from(*id) < end) {
                rows.push(id - (block_index * BLOCK) as u32);
            }
            let Some(block) = self.world.blocks().get(block_index) else { break };
            dots.clear();
            match self.taste.weights {
                Some(w) => dot_rows(w, block.matrix(), &rows, &mut dots),
                None => dots.resize(rows.len(), 0.0),
            }
            self.blend_block(block, block_index, &rows, &dots, &mut centre_dots, &mut scored);
        }
        scored
    }

    fn blend_block(
        &self,
        block: &Block,
        block_index: usize,
        rows: &[u32],
        dots: &[f32],
        centre_dots: &mut [f32],
        scored: &mut Vec<Scored>,
    ) {
        let columns = block.columns();
        for (&row, &w_x) in rows.iter().zip(dots) {
            let row = row as usize;
            let (Some(&created), Some(&centre)) = (columns.created.get(row), columns.centre.get(row)) else { continue };
            if created > self.now {
                continue;
            }
            let item = ItemId((block_index * BLOCK + row) as u32);
            let online = match self.taste.weights {
                None => 0.0,
                Some(w) => {
                    let w_m = match centre_dots.get_mut(columns.topic[row].0 as usize) {
                        Some(known) if !known.is_nan() => *known,
                        cell => {
                            let w_m = self.world.centre(centre).map_or(0.0, |m| dot(w, m));
                            if let Some(cell) = cell {
                                *cell = w_m;
                            }
                            w_m
                        }
                    };
                    self.online(w_x, w_m, columns.inverse_norm[row])
                }
            };
            let topic = if columns.more_topics[row] {
                self.topic_weight(item)
            } else {
                self.topic_weights.get(columns.topic[row].0 as usize).copied().unwrap_or(0.0)
            };
            let features = [
                online,
                topic,
                self.freshness(created),
                f32::from(u8::from(self.is_followed(columns.author[row]))),
                self.world.popularity(item),
            ];
            scored.push(Scored { item, score: sum(std::array::from_fn(|k| self.blend[k] * features[k])), created });
        }
    }

    /// The flat feed: what the person's followees and they themselves made; for somebody who follows nobody, everything.
    fn flat_candidates(&self, candidates: &Candidates) -> Vec<Scored> {
        let everything = self.taste.follows.is_empty();
        candidates
            .0
            .iter()
            .filter_map(|id| {
                let columns = self.world.blocks().get(id as usize / BLOCK)?.columns();
                let row = id as usize % BLOCK;
                let (created, author) = (*columns.created.get(row)?, *columns.author.get(row)?);
                let shown = everything || author == self.taste.user.0 || self.is_followed(author);
                (shown && created <= self.now).then_some(Scored { item: ItemId(id), score: 0.0, created })
            })
            .collect()
    }
}

fn weighted(world: &World, features: &[f32; Expert::ALL.len()]) -> [f32; Expert::ALL.len()] {
    let blend = world.settings().blend.as_array();
    std::array::from_fn(|k| blend[k] * features[k])
}

fn sum(shares: [f32; Expert::ALL.len()]) -> f32 {
    shares.into_iter().fold(0.0, |a, b| a + b)
}

fn contributions(shares: [f32; Expert::ALL.len()]) -> Vec<Contribution> {
    Expert::ALL.into_iter().zip(shares).map(|(expert, amount)| Contribution { expert, amount }).collect()
}

/// An item's time scaled to [0, 1] over the feed's span; 1 where the feed has no span.
fn span_freshness(created: Millis, (oldest, newest): (Option<Millis>, Option<Millis>)) -> f32 {
    match (oldest, newest) {
        (Some(oldest), Some(newest)) if newest > oldest => {
            (created.since(oldest) as f64 / newest.since(oldest) as f64) as f32
        }
        _ => 1.0,
    }
}

/// Newer first among equals: freshness puts the newer one first as soon as f32 can tell them apart, so an order by id
/// alone would flip when they grow old enough to round to the same number.
fn by_score(a: &Scored, b: &Scored) -> Ordering {
    b.score.total_cmp(&a.score).then(b.created.cmp(&a.created)).then(a.item.cmp(&b.item))
}

fn by_time(a: &Scored, b: &Scored) -> Ordering {
    b.created.cmp(&a.created).then(a.item.cmp(&b.item))
}

/// The first `limit` in order: a partial sort, since a feed is short and the catalogue is not.
fn select(mut scored: Vec<Scored>, limit: usize, order: fn(&Scored, &Scored) -> Ordering) -> Vec<Scored> {
    if limit == 0 {
        return Vec::new();
    }
    if scored.len() > limit {
        scored.select_nth_unstable_by(limit - 1, order);
        scored.truncate(limit);
    }
    scored.sort_unstable_by(order);
    scored
}
