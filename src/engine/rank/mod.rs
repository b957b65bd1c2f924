//! Candidates -> score -> select, as types: [`Candidates`] become scored become [`FeedItem`]s.
//!
//! Invariant: ranking reorders what is available and not hidden: nothing lost but what is beyond the limit, nothing
//! invented, nothing twice. Equal scores are ordered newest first, then by item id, so a feed never flickers.
//! Contributions of an item sum to its score exactly as they are added here: in the order of `Expert::ALL`. The scan
//! reads 8-bit codes; whatever its known error leaves open is scored again in f32, so the order is that of f32.
//! Absent on purpose: a standing pool; all that is available is scored each time, which 10,000 items allow.

pub mod diff;
pub mod gate;

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use crate::domain::feeds::{Contribution, Expert, FeedItem, Ranking};
use crate::domain::ids::{ItemId, TopicId, UserId};
use crate::domain::journal::CentreRef;
use crate::domain::time::Millis;
use crate::engine::learn::quadratic::Form;
use crate::engine::simd::{dot, dot_rows, weight_max};
use crate::engine::world::{BLOCK, Columns, NOBODY, Vectors, World};

/// The flat feed reaches back over this many items; the topic feed re-sorts these.
pub const FLAT_SPAN: usize = 500;

/// Log-odds of the online model enter the blend within these bounds, so that one expert cannot silence the others.
pub const ONLINE_MAX: f32 = 8.0;

/// What ranking reads of a person.
pub struct Taste<'a> {
    /// Mean weights of the online model, `(dim,)`; `None` before the first label.
    pub weights: Option<&'a [f32]>,
    /// What the online model adds for items of these centres.
    pub forms: Vec<(CentreRef, Form)>,
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
    let scorer = Scorer::of_many(world, taste, now);
    match ask.ranking {
        Ranking::Model => select(scorer.contenders(&candidates, ask.limit), ask.limit, by_score)
            .into_iter()
            .map(|one| FeedItem {
                item: one.item,
                score: one.score,
                why: if ask.explain { contributions(scorer.shares(one.item)) } else { Vec::new() },
            })
            .collect(),
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
    Scorer::of_few(world, taste, now).features(item)
}

/// Score of the `model` ranking for one item: the weighted sum in the order of `Expert::ALL`.
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
    sum(Scorer::of_few(world, taste, now).shares(item)) >= lowest
}

struct Scorer<'a> {
    world: &'a World,
    taste: &'a Taste<'a>,
    now: Millis,
    /// By topic id.
    topic_weights: Vec<f32>,
    /// `w . m` by main topic; 0 where the topic has no centre.
    centre_dots: Vec<f32>,
    freshness_half: f32,
    blend: [f32; Expert::ALL.len()],
}

impl<'a> Scorer<'a> {
    /// For a few items: looks up what they need.
    fn of_few(world: &'a World, taste: &'a Taste<'a>, now: Millis) -> Self {
        let settings = world.settings();
        let (freshness_half, blend) = (settings.freshness_half_ms as f32, settings.blend.as_array());
        Scorer { world, taste, now, topic_weights: Vec::new(), centre_dots: Vec::new(), freshness_half, blend }
    }

    /// For the whole catalogue: what depends on the topic alone is computed once.
    fn of_many(world: &'a World, taste: &'a Taste<'a>, now: Millis) -> Self {
        let few = Scorer::of_few(world, taste, now);
        let topics = (0..world.topics_len()).map(TopicId);
        let topic_weights = topics.clone().map(|topic| few.weight_of(topic)).collect();
        let centre_dots = topics.map(|topic| few.centre_dot(topic)).collect();
        Scorer { topic_weights, centre_dots, ..few }
    }

    fn weight_of(&self, topic: TopicId) -> f32 {
        if let Some(weight) = self.topic_weights.get(topic.0 as usize) {
            return *weight;
        }
        let topics = &self.taste.topics;
        topics.binary_search_by_key(&topic, |(topic, _)| *topic).map_or(0.0, |index| topics[index].1)
    }

    fn centre_dot(&self, topic: TopicId) -> f32 {
        if let Some(dot) = self.centre_dots.get(topic.0 as usize) {
            return *dot;
        }
        let centre = self.world.centre_of(topic);
        self.taste.weights.and_then(|w| self.world.centre(centre).map(|m| dot(w, m.mean()))).unwrap_or(0.0)
    }

    /// The strongest weight among an item's topics.
    fn topic_weight(&self, item: ItemId) -> f32 {
        self.world
            .item(item)
            .map_or(0.0, |item| item.topics.iter().map(|topic| self.weight_of(*topic)).fold(0.0, f32::max))
    }

    fn freshness(&self, created: Millis) -> f32 {
        self.freshness_half / (self.freshness_half + self.now.since(created) as f32)
    }

    fn is_followed(&self, author: u32) -> bool {
        author != NOBODY && self.taste.follows.binary_search(&UserId(author)).is_ok()
    }

    /// `w . (x - m) / ||x - m||`, from `w . x`, and what the person's quadratic form for that centre adds.
    fn online(&self, w_x: f32, columns: &Columns, row: usize) -> f32 {
        let inverse_norm = columns.inverse_norm[row];
        let mut online = (w_x - self.centre_dot(columns.topic[row])) * inverse_norm;
        // An item that is its own centre lies nowhere, and nothing is said of it.
        if inverse_norm > 0.0 {
            let centre = columns.centre[row];
            if let Some((_, form)) = self.taste.forms.iter().find(|(known, _)| *known == centre) {
                online += form.value(&columns.coordinates[row]);
            }
        }
        online.clamp(-ONLINE_MAX, ONLINE_MAX)
    }

    fn features(&self, id: ItemId) -> [f32; Expert::ALL.len()] {
        let (index, row) = (id.0 as usize / BLOCK, id.0 as usize % BLOCK);
        let Some(block) = self.world.blocks().get(index).filter(|block| row < block.items().len()) else {
            return [0.0; Expert::ALL.len()];
        };
        let columns = block.columns();
        let online = self.taste.weights.map_or(0.0, |w| self.online(dot(w, block.embedding(row)), columns, row));
        self.with_online(id, columns, row, online)
    }

    fn with_online(&self, id: ItemId, columns: &Columns, row: usize, online: f32) -> [f32; Expert::ALL.len()] {
        let topic = if columns.more_topics[row] { self.topic_weight(id) } else { self.weight_of(columns.topic[row]) };
        let followed = f32::from(u8::from(self.is_followed(columns.author[row])));
        [online, topic, self.freshness(columns.created[row]), followed, self.world.popularity(id)]
    }

    fn shares(&self, item: ItemId) -> [f32; Expert::ALL.len()] {
        self.weigh(self.features(item))
    }

    fn weigh(&self, features: [f32; Expert::ALL.len()]) -> [f32; Expert::ALL.len()] {
        std::array::from_fn(|k| self.blend[k] * features[k])
    }

    /// All candidates that may be among the best `limit`, with their exact scores.
    ///
    /// The scan scores everybody on 8-bit codes, whose error is bounded: `|w . x - s w' . c| <= s C` with `s` the row's
    /// scale and `C` from [`Quantised`]; what a quadratic form adds is the same number in both. Who is further below the `limit`-th than twice the largest error cannot be
    /// among the best; all others are scored in f32.
    fn contenders(&self, candidates: &Candidates, limit: usize) -> Vec<Scored> {
        if limit == 0 {
            return Vec::new();
        }
        let (mut rough, error) = self.scan(candidates);
        if rough.len() > limit {
            let (_, last, _) = rough.select_nth_unstable_by(limit - 1, |a, b| b.0.total_cmp(&a.0));
            // A little more than the bound, for the rounding of the f32 sums themselves.
            let threshold = last.0 - 2.0 * error - 1e-4 * (1.0 + last.0.abs());
            rough.retain(|(score, _)| *score >= threshold);
        }
        rough
            .into_iter()
            .map(|(_, id)| {
                let (item, columns) = (ItemId(id), self.world.blocks()[id as usize / BLOCK].columns());
                Scored { item, score: sum(self.shares(item)), created: columns.created[id as usize % BLOCK] }
            })
            .collect()
    }

    /// Rough scores of all candidates by id, and the most by which one is wrong. Block by block, without touching the
    /// items themselves.
    fn scan(&self, candidates: &Candidates) -> (Vec<(f32, u32)>, f32) {
        let mut rough = Vec::with_capacity(candidates.0.len() as usize);
        let quantised = self.taste.weights.map(Quantised::of);
        let (mut rows, mut dots) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
        let mut error = 0.0_f32;
        let mut ids = candidates.0.iter().peekable();
        while let Some(first) = ids.peek().copied() {
            let index = first as usize / BLOCK;
            let start = (index * BLOCK) as u32;
            let end = u64::from(start) + BLOCK as u64;
            rows.clear();
            while let Some(id) = ids.next_if(|id| u64::from(*id) < end) {
                rows.push(id - start);
            }
            let Some(block) = self.world.blocks().get(index) else { break };
            let columns = block.columns();
            dots.clear();
            match &quantised {
                Some(quantised) => dot_rows(&quantised.weights, block.codes(), &rows, &mut dots),
                None => dots.resize(rows.len(), 0),
            }
            let known = block.items().len();
            for (&row, &dot) in rows.iter().zip(&dots) {
                let at = row as usize;
                if at >= known || columns.created[at] > self.now {
                    continue;
                }
                let online = match &quantised {
                    Some(quantised) => {
                        let scale = columns.scale[at];
                        error = error.max(scale * columns.inverse_norm[at] * quantised.error);
                        self.online(dot as f32 * scale * quantised.scale, columns, at)
                    }
                    None => 0.0,
                };
                let id = start + row;
                rough.push((sum(self.weigh(self.with_online(ItemId(id), columns, at, online))), id));
            }
        }
        (rough, error * self.blend[0].abs())
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

/// Weights in 16 bits, and what that costs.
struct Quantised {
    /// `(dim,)`, `w_i = weight_i * scale` up to half a scale.
    weights: Vec<i16>,
    scale: f32,
    /// `C`: with codes `c` of a row and its scale `s`, `|w . x - s scale weights . c| <= s C`. From `|x_i - s c_i| <= s/2`
    /// and `|w_i - scale weight_i| <= scale/2`: `C = ||w||_1 / 2 + 127 dim scale / 2`.
    error: f32,
}

impl Quantised {
    fn of(w: &[f32]) -> Quantised {
        let largest = w.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
        let scale = (largest / f32::from(weight_max(w.len()))).max(f32::MIN_POSITIVE);
        let weights = w.iter().map(|w| (w / scale).round() as i16).collect();
        let error = 0.5 * w.iter().map(|w| w.abs()).sum::<f32>() + 0.5 * 127.0 * w.len() as f32 * scale;
        // Half a step is exact arithmetic; rounding in f32 adds a few parts in a million.
        Quantised { weights, scale, error: error * 1.0001 }
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
