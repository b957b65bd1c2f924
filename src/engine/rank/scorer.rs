//! What the blend weighs of an item for one person, and the scan that scores the whole catalogue.
//!
//! Invariant: the same item, person, world and instant give the same row wherever they are asked for. The scan's error is
//! bounded and known; whatever it leaves open is scored exactly.
//! Absent on purpose: choosing and ordering (the module above).

use std::cell::Cell;

use crate::domain::ids::{ItemId, TopicId, UserId};
use crate::domain::time::{MINUTE_MS, Millis};
use crate::engine::learn::fashions::Fashion;
use crate::engine::learn::features::{FEATURES, Features, Row, Segment, Shares, at, range, shares};
use crate::engine::learn::repeat::Clock;
use crate::engine::simd::{dot, dot_rows, weight_max};
use crate::engine::tower::{Tower, TowerVector};
use crate::engine::world::{BLOCK, Columns, NOBODY, Vectors, World};

use super::evidence::Evidence;
use super::{Candidates, ONLINE_MAX, Scored, TOWER_MAX, Taste};

/// "Just opened" fades by half within this.
const OPENING_HALF_MS: f32 = 2.0 * MINUTE_MS as f32;

/// After this nothing of it is left.
const OPENING_LASTS_MS: i64 = 60 * MINUTE_MS;

/// The score: the shares in the order of `Expert::ALL`.
pub fn sum(shares: Shares) -> f32 {
    shares.into_iter().fold(0.0, |a, b| a + b)
}

/// Scores items for one person at one instant.
pub struct Scorer<'a> {
    world: &'a World,
    taste: &'a Taste<'a>,
    now: Millis,
    clock: Clock,
    evidence: Evidence,
    /// By topic id.
    topic_weights: Vec<f32>,
    /// `w . m` by main topic; 0 where the topic has no centre.
    centre_dots: Vec<f32>,
    /// The last one that was asked for and does not stand there: a few items are often about the same.
    last_dot: Cell<Option<(TopicId, f32)>>,
    freshness_half: f32,
    novelty: f32,
    session_depth: f32,
    tower: Option<(&'a Tower, &'a TowerVector)>,
    /// What their group goes to.
    fashion: Option<&'a Fashion>,
    /// By [`Segment::index`].
    weights: [Features; 2],
}

impl<'a> Scorer<'a> {
    /// For a few items: looks up what they need.
    pub fn of_few(world: &'a World, taste: &'a Taste<'a>, now: Millis) -> Self {
        Scorer::with(Evidence::gather(world, taste, now), world, taste, now)
    }

    /// For one item, and no other: its row is the one that [`Scorer::of_many`] gives it.
    pub fn of_one(item: ItemId, world: &'a World, taste: &'a Taste<'a>, now: Millis) -> Self {
        Scorer::with(Evidence::about(item, world, taste, now), world, taste, now)
    }

    fn with(evidence: Evidence, world: &'a World, taste: &'a Taste<'a>, now: Millis) -> Self {
        let served = |segment| world.blend().served(segment, taste.deviation);
        Scorer {
            world,
            taste,
            now,
            clock: Clock::at(now),
            evidence,
            topic_weights: Vec::new(),
            centre_dots: Vec::new(),
            last_dot: Cell::new(None),
            freshness_half: world.settings().freshness_half_ms as f32,
            novelty: taste.visits.novelty(),
            tower: world.tower().map(AsRef::as_ref).zip(taste.tower.as_ref()),
            session_depth: 0.3 * (1.0 + taste.session as f32).ln(),
            fashion: taste.group.and_then(|group| world.fashions().of(group)),
            weights: [served(Segment::New), served(Segment::Seen)],
        }
    }

    /// For the whole catalogue: what depends on the topic alone is computed once.
    pub fn of_many(world: &'a World, taste: &'a Taste<'a>, now: Millis) -> Self {
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
        look_up(&self.taste.topics, topic)
    }

    fn centre_dot(&self, topic: TopicId) -> f32 {
        if let Some(dot) = self.centre_dots.get(topic.0 as usize) {
            return *dot;
        }
        if let Some((_, dot)) = self.last_dot.get().filter(|(last, _)| *last == topic) {
            return dot;
        }
        let centre = self.world.centre_of(topic);
        let dot = self.taste.weights.and_then(|w| self.world.centre(centre).map(|m| dot(w, m.mean()))).unwrap_or(0.0);
        self.last_dot.set(Some((topic, dot)));
        dot
    }

    /// The strongest weight among an item's topics.
    pub fn topic_weight(&self, item: ItemId) -> f32 {
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

    /// What the blend weighs of an item, into `out`, which is all zeros and stays so for one that this world does not know.
    pub fn describe(&self, id: ItemId, out: &mut Row) {
        let (index, row) = (id.0 as usize / BLOCK, id.0 as usize % BLOCK);
        let Some(block) = self.world.blocks().get(index).filter(|block| row < block.items().len()) else {
            return;
        };
        let columns = block.columns();
        let online = self.taste.weights.map_or(0.0, |w| self.online(dot(w, block.embedding(row)), columns, row));
        out.segment = self.with_online(id, columns, row, online, &mut out.features);
    }

    fn with_online(&self, id: ItemId, columns: &Columns, row: usize, online: f32, out: &mut Features) -> Segment {
        let topic = columns.topic[row];
        out[at::ONLINE] = online;
        out[at::TOPIC] = if columns.more_topics[row] { self.topic_weight(id) } else { self.weight_of(topic) };
        out[at::TOPIC_APPROVAL] = self.world.popularity().topic_approval(topic);
        out[at::OWN_TOPIC_APPROVAL] = look_up(&self.taste.opinions, topic);
        out[at::FRESHNESS] = self.freshness(columns.created[row]);
        let author = columns.author[row];
        if author != NOBODY {
            out[at::FOLLOWED] = f32::from(u8::from(self.is_followed(author)));
            out[at::AUTHOR_VISITS] = 0.5 * look_up(&self.taste.authors, UserId(author)).ln_1p();
        }
        self.world.popularity().describe(id, out);
        self.world.popularity().visitors().describe(id, &self.clock, out);
        if let Some(fashion) = self.fashion {
            out[at::POPULARITY_CLUSTER] = fashion.popularity(id, out[at::POPULARITY_1D]);
        }
        if let Some((tower, person)) = self.tower {
            out[at::TOWER] = tower.log_odds(person, id).clamp(-TOWER_MAX, TOWER_MAX);
        }
        out[at::OWN_APPROVAL] = self.taste.approval;
        out[at::SESSION_DEPTH] = self.session_depth;
        let window =
            if columns.windowed[row] { self.world.item(id).and_then(|item| item.windows.at(self.now)) } else { None };
        let opened = window.map(|window| window.start);
        if !columns.windowed[row] {
            // What has no windows opened when it was made.
            let age = self.now.since(columns.created[row]);
            if age < OPENING_LASTS_MS {
                out[at::JUST_OPENED] = (-(age as f32) / OPENING_HALF_MS).exp2();
            }
        }
        if let Some(window) = window {
            let until = window.stop.or_else(|| self.world.expected_ends().of(id));
            if let Some(until) = until {
                let rest = until.since(self.now) as f32 / MINUTE_MS as f32;
                out[at::REMAINING] = 0.3 * (1.0 + rest / 10.0).ln();
            }
            let opened = window.start;
            let age = self.now.since(opened) as f32;
            out[at::SINCE_OPENING] = 0.3 * (1.0 + age / (10.0 * MINUTE_MS as f32)).ln();
            out[at::JUST_OPENED] = (-age / OPENING_HALF_MS).exp2();
        }
        let slot = self.evidence.of(id);
        // Most have none of these, and logarithms cost.
        if slot.friends > 0.0 {
            out[at::FRIENDS] = 0.5 * (1.0 + slot.friends).ln();
        }
        if slot.next > 0.0 {
            out[at::CO_VISIT] = 0.3 * (1.0 + slot.next / 0.003).ln();
        }
        let company = self.evidence.company(id);
        if company > 0.0 {
            out[at::CO_AUDIENCE] = 0.5 * (1.0 + company / 0.01).ln();
        }
        let segment = match slot.visit.checked_sub(1).map(usize::from) {
            Some(rank) => {
                self.taste.visits.describe(rank, self.now, opened, &self.clock, out);
                out[at::NOVELTY] = -self.novelty;
                out[at::AT_THIS_HOUR] = 0.5 * (slot.beat.hour + 0.05).ln();
                out[at::LATELY_AT_THIS_HOUR] = 0.5 * (slot.beat.lately + 0.05).ln();
                out[at::AT_THIS_WEEKDAY] = 0.5 * (slot.beat.weekday + 0.05).ln();
                // Most have none of it, and logarithms cost.
                if slot.beat.next > 0.0 {
                    out[at::OWN_NEXT] = 0.5 * (1.0 + slot.beat.next / 0.1).ln();
                }
                Segment::Seen
            }
            None => {
                out[at::NOVELTY] = self.novelty;
                out[at::NEWCOMERS] = self.world.popularity().visitors().newcomers(id);
                Segment::New
            }
        };
        for expert in &self.world.settings().without {
            let (begin, end) = range(*expert);
            out[begin..end].fill(0.0);
        }
        segment
    }

    /// The shares of the experts in an item's score.
    pub fn shares(&self, item: ItemId) -> Shares {
        let mut row = Row::NOTHING;
        self.describe(item, &mut row);
        shares(&self.weights[row.segment.index()], &row.features)
    }

    /// An item's score.
    pub fn score(&self, item: ItemId) -> f32 {
        sum(self.shares(item))
    }

    /// All candidates that may be among the best `limit`, with their exact scores.
    ///
    /// The scan scores everybody on 8-bit codes, whose error is bounded: `|w . x - s w' . c| <= s C` with `s` the row's
    /// scale and `C` from [`Quantised`]; what a quadratic form adds is the same number in both. Who is further below the `limit`-th than twice the largest error cannot be
    /// among the best; all others are scored in f32.
    pub fn contenders(&self, candidates: &Candidates, limit: usize) -> Vec<Scored> {
        if limit == 0 {
            return Vec::new();
        }
        if candidates.0.len() <= limit as u64 {
            // Nobody has to be left out: no need to find out who might be.
            let known = candidates.0.iter().filter_map(|id| {
                let columns = self.world.blocks().get(id as usize / BLOCK)?.columns();
                let created =
                    columns.created.get(id as usize % BLOCK).copied().filter(|created| *created <= self.now)?;
                Some(Scored { item: ItemId(id), score: self.score(ItemId(id)), created })
            });
            return known.collect();
        }
        let (mut rough, error) = self.scan(candidates);
        let exactly = |(_, id): &(f32, u32)| {
            let (item, columns) = (ItemId(*id), self.world.blocks()[*id as usize / BLOCK].columns());
            Scored { item, score: self.score(item), created: columns.created[*id as usize % BLOCK] }
        };
        if rough.len() <= limit {
            return rough.iter().map(exactly).collect();
        }
        rough.select_nth_unstable_by(limit - 1, |a, b| b.0.total_cmp(&a.0));
        // So many reach at least this: who cannot, by the most that a rough score is wrong, is not among the best.
        let mut contenders: Vec<Scored> = rough[..limit].iter().map(exactly).collect();
        let reached = contenders.iter().fold(f32::INFINITY, |least, one| least.min(one.score));
        // A little more than the bound, for the rounding of the f32 sums themselves.
        let threshold = reached - error - 1e-4 * (1.0 + reached.abs());
        contenders.extend(rough[limit..].iter().filter(|(score, _)| *score >= threshold).map(exactly));
        contenders
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
            for (&row, &product) in rows.iter().zip(&dots) {
                let at = row as usize;
                if at >= known || columns.created[at] > self.now {
                    continue;
                }
                let online = match &quantised {
                    Some(quantised) => {
                        let scale = columns.scale[at];
                        error = error.max(scale * columns.inverse_norm[at] * quantised.error);
                        self.online(product as f32 * scale * quantised.scale, columns, at)
                    }
                    None => 0.0,
                };
                let id = start + row;
                let mut features = [0.0; FEATURES];
                let segment = self.with_online(ItemId(id), columns, at, online, &mut features);
                rough.push((dot(&self.weights[segment.index()], &features), id));
            }
        }
        (rough, error * self.weights.iter().fold(0.0_f32, |most, weights| most.max(weights[at::ONLINE].abs())))
    }

    /// The flat feed: what the person's followees and they themselves made; for somebody who follows nobody, everything.
    pub fn flat_candidates(&self, candidates: &Candidates) -> Vec<Scored> {
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

/// The value of a key in a list that is sorted by key; 0 where it is not.
fn look_up<K: Ord + Copy>(sorted: &[(K, f32)], key: K) -> f32 {
    sorted.binary_search_by_key(&key, |(key, _)| *key).map_or(0.0, |index| sorted[index].1)
}
