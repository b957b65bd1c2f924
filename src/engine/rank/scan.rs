//! Scores of a whole catalogue, block by block: of most items nothing but a few columns differs, and these are added up side
//! by side. Who has more said of them (where the person was, what comes next, friends, windows) is scored by their row.
//!
//! Invariant: a score that is added up here is bit by bit the one of the item's row: the same terms in the same order. Terms
//! of 0 are left out, which changes no sum that is not 0 below zero, and none here is. The rough scan's error is bounded and
//! known; whatever it leaves open is scored exactly.
//! Absent on purpose: choosing and ordering (the module above).

use multiversion::multiversion;

use crate::domain::ids::{ItemId, TopicId};
use crate::domain::time::Millis;
use crate::engine::learn::features::{FEATURES, Features, Segment, at, range, shares};
use crate::engine::learn::popularity::PopularityBlock;
use crate::engine::learn::visitors::{PHASES, VisitorsBlock};
use crate::engine::simd::{dot, dot_rows, ln_of, weight_max};
use crate::engine::world::{BLOCK, Block, Columns, NOBODY};

use super::scorer::{CO_AUDIENCE_UNIT, OPENING_LASTS_MS, Scorer, just_opened, sum};
use super::{Candidates, Scored, TOWER_MAX};

/// One number per item of a block.
type Lane = [f32; BLOCK];

/// What is added up for a block.
struct Lanes {
    online: Lane,
    /// Share of the topics.
    topic: Lane,
    /// Since it was made, in milliseconds.
    age: Lane,
    /// Shares of who made it.
    followed: Lane,
    repeat: Lane,
    /// Features.
    cluster: Lane,
    tower: Lane,
    scores: Lane,
    /// Whose score is not here: more is said of them, or nobody is there.
    apart: [bool; BLOCK],
}

impl Lanes {
    fn new() -> Lanes {
        let lane = [0.0; BLOCK];
        Lanes {
            online: lane,
            topic: lane,
            age: lane,
            followed: lane,
            repeat: lane,
            cluster: lane,
            tower: lane,
            scores: lane,
            apart: [true; BLOCK],
        }
    }
}

/// What is the same for all items that a person was never at.
struct Common<'s, 'a> {
    scorer: &'s Scorer<'a>,
    weights: Features,
    /// Share of a topic, by its id; and what it is without the weight of the topic.
    topics: Vec<f32>,
    /// Share of what says nothing of the item: novelty, approval, the session.
    repeat: f32,
    /// Does the person know any author whose id leaves this rest?
    authors: [bool; AUTHORS],
    knows_nobody: bool,
}

/// Rests of authors' ids that are told apart.
const AUTHORS: usize = 1_024;

impl<'s, 'a> Common<'s, 'a> {
    fn of(scorer: &'s Scorer<'a>) -> Common<'s, 'a> {
        let mut weights = scorer.weights[Segment::New.index()];
        for expert in &scorer.world.settings().without {
            let (begin, end) = range(*expert);
            weights[begin..end].fill(0.0);
        }
        let mut authors = [false; AUTHORS];
        let (followed, visited) =
            (scorer.profile.follows.iter(), scorer.profile.authors.iter().map(|(author, _)| author));
        followed.chain(visited).for_each(|author| authors[author.0 as usize % AUTHORS] = true);
        let knows_nobody = scorer.profile.follows.is_empty() && scorer.profile.authors.is_empty();
        let mut common = Common { scorer, weights, topics: Vec::new(), repeat: 0.0, authors, knows_nobody };
        common.repeat = common.repeat_share(0.0);
        let topics = (0..scorer.world.topics_len()).map(TopicId);
        common.topics = topics.map(|topic| common.topic_share(topic, scorer.weight_of(topic))).collect();
        common
    }

    fn topic_share(&self, main: TopicId, weight: f32) -> f32 {
        let w = &self.weights;
        let (received, own) = self.scorer.topic_approvals(main);
        w[at::TOPIC] * weight + w[at::TOPIC_APPROVAL] * received + w[at::OWN_TOPIC_APPROVAL] * own
    }

    fn repeat_share(&self, author_visits: f32) -> f32 {
        let (w, of) = (&self.weights, self.scorer);
        w[at::AUTHOR_VISITS] * author_visits
            + w[at::NOVELTY] * of.novelty
            + w[at::OWN_APPROVAL] * of.profile.approval
            + w[at::SESSION_DEPTH] * of.session_depth
    }

    /// Scores of a block whose share of the online model stands in its lane.
    fn add_up(&self, index: usize, block: &Block, lanes: &mut Lanes) {
        let (scorer, columns, known) = (self.scorer, block.columns(), block.items().len());
        lanes.apart[..known].copy_from_slice(&columns.windowed[..known]);
        lanes.apart[known..].fill(true);
        scorer.evidence.mark_filled(index, &mut lanes.apart);
        let share_of = |topic: &TopicId| self.topics.get(topic.0 as usize).copied().unwrap_or_default();
        lanes.topic.iter_mut().zip(&columns.topic).for_each(|(share, topic)| *share = share_of(topic));
        for row in places(&columns.more_topics) {
            lanes.topic[row] = self.topic_share(columns.topic[row], scorer.strongest(&block.items()[row]));
        }
        put_ages(&columns.created, scorer.now, &mut lanes.age);
        self.put_authors(columns, lanes);
        if let Some((tower, person)) = scorer.tower {
            for (row, odds) in lanes.tower[..known].iter_mut().enumerate() {
                let item = ItemId((index * BLOCK + row) as u32);
                *odds = tower.log_odds(person, item).clamp(-TOWER_MAX, TOWER_MAX);
            }
        }
        let numbers = scorer.world.popularity().block(index);
        if let Some(cluster) = scorer.cluster {
            cluster.put_popularity(index * BLOCK, &numbers[at::POPULARITY_1D - at::POPULARITY], &mut lanes.cluster);
        }
        let co_audience = scorer.evidence.co_audience_of_block(index);
        let visitors = scorer.world.popularity().visitors().block(index);
        add_up(&self.weights, scorer.freshness_half, numbers, (visitors, &scorer.phases), lanes);
        if let Some(co_audience) = co_audience {
            add_co_audience(self.weights[at::CO_AUDIENCE], co_audience, &mut lanes.scores);
        }
        if lanes.age.iter().fold(false, |any, age| any | (*age < OPENING_LASTS_MS as f32)) {
            let young = lanes.scores.iter_mut().zip(&lanes.age).filter(|(_, age)| **age < OPENING_LASTS_MS as f32);
            young.for_each(|(score, age)| *score += self.weights[at::JUST_OPENED] * just_opened(*age));
        }
        if scorer.tower.is_some() {
            for (score, tower) in lanes.scores.iter_mut().zip(&lanes.tower) {
                *score += self.weights[at::TOWER] * tower;
            }
        }
    }

    /// Most authors are strangers: one look says so of nearly all of them.
    fn put_authors(&self, columns: &Columns, lanes: &mut Lanes) {
        lanes.followed.fill(0.0);
        lanes.repeat.fill(self.repeat);
        if self.knows_nobody {
            return;
        }
        for (row, author) in columns.author.iter().enumerate() {
            if self.authors[*author as usize % AUTHORS] && *author != NOBODY {
                let (followed, visits) = self.scorer.author(*author);
                lanes.followed[row] = self.weights[at::FOLLOWED] * followed;
                lanes.repeat[row] = self.repeat_share(visits);
            }
        }
    }
}

/// Where it says so; that it does nowhere, which is most often, is seen of all at once.
fn places(marks: &[bool]) -> impl Iterator<Item = usize> + '_ {
    let any = marks.iter().fold(false, |any, mark| any | mark);
    let marks = if any { marks } else { &[] };
    marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(place, _)| place)
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn put_ages(created: &[Millis], now: Millis, ages: &mut Lane) {
    for (age, created) in ages.iter_mut().zip(created) {
        *age = now.since(*created) as f32;
    }
}

/// Everything but company, openings and tower, which come after.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_up(
    w: &Features,
    freshness_half: f32,
    numbers: &PopularityBlock,
    ((visitors, level), clock): ((&VisitorsBlock, f32), &[f32; PHASES]),
    lanes: &mut Lanes,
) {
    let Lanes { online, topic, age, followed, repeat, cluster, scores, .. } = lanes;
    for row in 0..BLOCK {
        let mut popularity = w[at::POPULARITY] * numbers[0][row];
        for k in 1..numbers.len() {
            popularity += w[at::POPULARITY + k] * numbers[k][row];
        }
        popularity += w[at::POPULARITY_CLUSTER] * cluster[row];
        popularity += w[at::NEWCOMERS] * (visitors[0][row] - level);
        let phase = |k: usize| visitors[1 + k][row] * clock[k];
        popularity += w[at::BUSY_HOUR] * (phase(0) + phase(1));
        popularity += w[at::BUSY_WEEKDAY] * (phase(2) + phase(3) + phase(4) + phase(5));
        let freshness = freshness_half / (freshness_half + age[row]);
        let score = 0.0 + w[at::ONLINE] * online[row] + topic[row] + w[at::FRESHNESS] * freshness;
        scores[row] = score + followed[row] + popularity + repeat[row];
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_co_audience(weight: f32, co_audience: &[f32], scores: &mut Lane) {
    for (score, co_audience) in scores.iter_mut().zip(co_audience) {
        // Where there is none, the logarithm is that of 1: exactly 0.
        *score += weight * (0.5 * ln_of(1.0 + co_audience * CO_AUDIENCE_UNIT));
    }
}

impl Scorer<'_> {
    /// Scores of these items, in their order, into `out`, by whole blocks: for items that are a good part of all.
    pub fn all(&self, items: &[ItemId], out: &mut Vec<f32>) {
        let common = Common::of(self);
        let mut lanes = Lanes::new();
        // Who is scored apart has no number here.
        let mut scores = vec![f32::NAN; self.world.blocks().len() * BLOCK];
        for ((index, block), scores) in self.world.blocks().iter().enumerate().zip(scores.as_chunks_mut::<BLOCK>().0) {
            if let Some(w) = self.profile.weights {
                let columns = block.columns();
                for row in 0..block.items().len() {
                    let is_somewhere = columns.inverse_norm[row] > 0.0;
                    lanes.online[row] =
                        if is_somewhere { self.online(dot(w, block.embedding(row)), columns, row) } else { 0.0 };
                }
            }
            common.add_up(index, block, &mut lanes);
            for ((place, score), apart) in scores.iter_mut().zip(&lanes.scores).zip(&lanes.apart) {
                *place = if *apart { f32::NAN } else { *score };
            }
        }
        out.clear();
        out.extend(items.iter().map(|item| match scores.get(item.0 as usize) {
            Some(score) if !score.is_nan() => *score,
            _ => self.score(*item),
        }));
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
        let exactly = |(rough, id): &(f32, u32)| {
            let (item, columns) = (ItemId(*id), self.world.blocks()[*id as usize / BLOCK].columns());
            // Where no code was read, nothing was rounded.
            let score = if error > 0.0 { self.score(item) } else { *rough };
            Scored { item, score, created: columns.created[*id as usize % BLOCK] }
        };
        if rough.len() <= limit {
            return rough.iter().map(exactly).collect();
        }
        rough.select_nth_unstable_by(limit - 1, |a, b| b.0.total_cmp(&a.0));
        // So many reach at least this: who cannot, by the most that a rough score is wrong, is not among the best.
        let mut contenders: Vec<Scored> = rough[..limit].iter().map(exactly).collect();
        let reached = contenders.iter().fold(f32::INFINITY, |least, one| least.min(one.score));
        // A little more than the bound, for the rounding of the f32 sums themselves.
        let threshold = reached - if error > 0.0 { error + 1e-4 * (1.0 + reached.abs()) } else { 0.0 };
        contenders.extend(rough[limit..].iter().filter(|(score, _)| *score >= threshold).map(exactly));
        contenders
    }

    /// Rough scores of all candidates by id, and the most by which one is wrong. Block by block, without touching the
    /// items themselves.
    fn scan(&self, candidates: &Candidates) -> (Vec<(f32, u32)>, f32) {
        let mut ids = vec![0; candidates.0.len() as usize];
        let mut ids = &*candidates.0.iter().next_many(&mut ids);
        let mut rough = Vec::with_capacity(ids.len());
        let quantised = self.profile.weights.map(Quantised::of);
        let (mut rows, mut dots) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
        let (common, mut lanes, mut error) = (Common::of(self), Lanes::new(), 0.0_f32);
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
                for (row, product) in rows.iter().map(|row| *row as usize).zip(&dots) {
                    let scale = columns.scale[row];
                    error = error.max(scale * columns.inverse_norm[row] * quantised.error);
                    lanes.online[row] = self.online(*product as f32 * scale * quantised.scale, columns, row);
                }
            }
            common.add_up(index, block, &mut lanes);
            for id in rows.iter().map(|row| start + row) {
                let row = (id - start) as usize;
                if columns.created[row] > self.now {
                    continue;
                }
                let score = match lanes.apart[row] {
                    false => lanes.scores[row],
                    true => {
                        let mut features = [0.0; FEATURES];
                        let segment = self.with_online(ItemId(id), columns, row, lanes.online[row], &mut features);
                        sum(shares(&self.weights[segment.index()], &features))
                    }
                };
                rough.push((score, id));
            }
        }
        (rough, error * self.weights.iter().fold(0.0_f32, |most, weights| most.max(weights[at::ONLINE].abs())))
    }

    /// The flat feed: what the person's followees and they themselves made; for somebody who follows nobody, everything.
    pub fn flat_candidates(&self, candidates: &Candidates) -> Vec<Scored> {
        let everything = self.profile.follows.is_empty();
        candidates
            .0
            .iter()
            .filter_map(|id| {
                let columns = self.world.blocks().get(id as usize / BLOCK)?.columns();
                let row = id as usize % BLOCK;
                let (created, author) = (*columns.created.get(row)?, *columns.author.get(row)?);
                let shown = everything || author == self.profile.user.0 || self.is_followed(author);
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
