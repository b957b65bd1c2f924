//! Popularity and approval of items: exponentially decayed counts at several half-lives.
//!
//! Invariant: counts are finite and non-negative; a late event counts as much as if it had arrived in time and decayed
//! since. Popularity decays every minute whether or not users act, so each refresh recomputes all open items, in
//! vectorised blocks.

use std::sync::Arc;

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{ItemId, TopicId};
use crate::domain::interactions::Signal;
use crate::domain::items::Item;
use crate::domain::time::{DAY_MS, HOUR_MS, Millis};
use crate::domain::windows::Windows;
use crate::engine::catalogue::block::BLOCK;
use crate::engine::learners::clock::HALF_LIVES_MS;
use crate::engine::learners::shared::arrivals::{Visitors, VisitorsTable};
use crate::engine::numeric::kernels::{LANES, exp_each_f64, exp_of, ln_of};

const LIVES: usize = HALF_LIVES_MS.len();

/// Numbers per item: one per half-life, the rate, and the approval.
pub(crate) const NUMBERS: usize = LIVES + 2;

/// Items that are processed in parallel.
const SIDE: usize = 128;

/// Pseudo-count of every item, so that a new item starts near the mean.
const PRIOR: f64 = 0.5;

/// Index of the half-life of one day.
const DAY_LIFE: usize = 2;

/// Index of the half-life of rates: seven days.
const RATE_LIFE: usize = 3;

/// Prior strength of an item's rate: the global rate counts as this many hours of availability.
const RATE_PRIOR_HOURS: f32 = 4.0;

/// Prior strengths of approval, in pseudo-opinions: for an item, and for a topic.
const OPINIONS_PRIOR: [f64; 2] = [5.0, 20.0];

/// Forward-decay weight of an event, relative to an origin that moves so that it never overflows.
fn grown(at: Millis, origin: Millis, half_life: i64) -> f64 {
    ((at.0 - origin.0) as f64 / half_life as f64).exp2()
}

/// Decayed weights of positive and negative labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Opinions {
    positive: f32,
    negative: f32,
    last: Millis,
}

impl Opinions {
    /// Approval hardly changes over time, for a population and for a user, so the half-life is one year.
    const HALF_LIFE_MS: i64 = 365 * DAY_MS;

    /// Learns one label with its weight.
    pub fn learn(&mut self, signal: Signal, at: Millis) {
        let fade = self.fade(at);
        self.positive *= fade;
        self.negative *= fade;
        self.last = self.last.max(at);
        *(if signal.positive { &mut self.positive } else { &mut self.negative }) += signal.weight;
    }

    /// Log-odds of approval relative to `rate`, which counts as much as `prior` opinions.
    #[must_use]
    pub fn log_odds(&self, now: Millis, rate: f64, prior: f64) -> f32 {
        self.odds(now, rate, prior).ln() as f32
    }

    fn odds(&self, now: Millis, rate: f64, prior: f64) -> f64 {
        let fade = f64::from(self.fade(now));
        let positive = f64::from(self.positive) * fade + prior * rate;
        let negative = f64::from(self.negative) * fade + prior * (1.0 - rate);
        (positive / negative) * ((1.0 - rate) / rate)
    }

    /// Share of positive labels by Laplace's rule, never 0 or 1.
    #[must_use]
    pub fn rate(&self) -> f64 {
        (f64::from(self.positive) + 1.0) / (f64::from(self.positive) + f64::from(self.negative) + 2.0)
    }

    fn fade(&self, now: Millis) -> f32 {
        (-(now.since(self.last) as f32) / Self::HALF_LIFE_MS as f32).exp2()
    }
}

/// Consecutive open items, to be refreshed.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// Id of the first item; the others follow.
    pub first: ItemId,
    /// Creation time of each item.
    pub created: &'a [Millis],
    /// Whether each item has windows; an item without windows is always available.
    pub windowed: &'a [bool],
    /// The items themselves, in the order of their ids.
    pub items: &'a [Arc<Item>],
}

impl<'a> Run<'a> {
    /// Positions of the items with windows, and their windows.
    pub fn windows(&self) -> impl Iterator<Item = (usize, &'a Windows)> + use<'a> {
        // Fast path: most runs have no windows, and one vectorised pass detects that.
        let any = self.windowed.iter().fold(false, |any, windowed| any | windowed);
        let windowed = if any { self.windowed } else { &[] };
        let all = windowed.iter().zip(self.items).enumerate();
        all.filter(|(_, (windowed, _))| **windowed).map(|(place, (_, item))| (place, &item.windows))
    }
}

/// Decayed counts of all items and topics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Popularity {
    /// By item, by half-life: the count in units of the origin.
    counts: Vec<[f64; LIVES]>,
    origins: [Millis; LIVES],
    items: Vec<Opinions>,
    topics: Vec<Opinions>,
    all: Opinions,
    visitors: Visitors,
}

/// Features of one item, as logarithms: popularity by half-life, rate, approval.
pub(crate) type PopularityRow = [f32; NUMBERS];

/// Features of a block of items, one column per number, for the scan of a catalogue.
pub(crate) type PopularityBlock = [[f32; BLOCK]; NUMBERS];

/// Published popularity by item and approval by topic; all are log ratios relative to the available items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PopularityTable {
    /// In blocks like those of the `World`. The last block stands for all items beyond: they have no counts.
    blocks: Vec<PopularityBlock>,
    /// Number of items with counts.
    len: usize,
    topics: Vec<f32>,
    /// Share of positive labels over all items; 0 before the first.
    approval: f64,
    visitors: VisitorsTable,
}

impl PopularityTable {
    /// Features of the block with this index.
    #[must_use]
    pub fn block(&self, index: usize) -> &PopularityBlock {
        const NOTHING: &PopularityBlock = &[[0.0; BLOCK]; NUMBERS];
        self.blocks.get(index).or(self.blocks.last()).unwrap_or(NOTHING)
    }

    /// Features of one item.
    #[must_use]
    pub fn row(&self, item: ItemId) -> PopularityRow {
        let (block, row) = (self.block(item.0 as usize / BLOCK), item.0 as usize % BLOCK);
        std::array::from_fn(|k| block[k][row])
    }

    /// Log ratio of an item's popularity to the mean, with a half-life of one day.
    #[must_use]
    pub fn within_a_day(&self, item: ItemId) -> f32 {
        self.block(item.0 as usize / BLOCK)[DAY_LIFE][item.0 as usize % BLOCK]
    }

    /// Published counts of first-time visitors, and visiting hours.
    #[must_use]
    pub fn visitors(&self) -> &VisitorsTable {
        &self.visitors
    }

    /// Approval of a topic, as log-odds relative to the global rate.
    #[must_use]
    pub(crate) fn topic_approval(&self, topic: TopicId) -> f32 {
        self.topics.get(topic.0 as usize).copied().unwrap_or(0.0)
    }

    /// Share of positive labels over all users and items, in (0, 1).
    #[must_use]
    pub fn approval(&self) -> f64 {
        if self.approval > 0.0 { self.approval } else { 0.5 }
    }

    /// Resizes to this many items; new items get the features `unseen`.
    fn resize(&mut self, len: usize, unseen: &PopularityRow) {
        let first = self.len.min(len);
        // One block more than necessary: it stands for all items beyond.
        self.blocks.resize(len.div_ceil(BLOCK) + 1, [[0.0; BLOCK]; NUMBERS]);
        for (index, block) in self.blocks.iter_mut().enumerate().skip(first / BLOCK) {
            for (numbers, unseen) in block.iter_mut().zip(unseen) {
                numbers[first.saturating_sub(index * BLOCK).min(BLOCK)..].fill(*unseen);
            }
        }
        self.len = len;
    }

    /// Writes the features of these items, runs of consecutive ids at once.
    fn put(&mut self, items: &[u32], numbers: &[[f32; SIDE]; NUMBERS]) {
        let (mut begin, follow) = (0, are_in_a_row(items));
        while let Some(first) = items.get(begin).map(|id| *id as usize).filter(|first| *first < self.len) {
            let (row, room) = (first % BLOCK, (BLOCK - first % BLOCK).min(self.len - first));
            let rest = &items[begin..items.len().min(begin + room)];
            let run = match follow {
                true => rest.len(),
                false => rest.iter().zip(first as u32..).take_while(|(id, expected)| **id == *expected).count(),
            };
            for (places, numbers) in self.blocks[first / BLOCK].iter_mut().zip(numbers) {
                match run {
                    1 => places[row] = numbers[begin],
                    _ => places[row..row + run].copy_from_slice(&numbers[begin..begin + run]),
                }
            }
            begin += run;
        }
    }
}

/// Means over the available items, the reference of all ratios.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// `1 / (mean + prior)` by half-life.
    per_mean: [f32; LIVES],
    /// Positive interactions per hour of availability.
    rate: f32,
    /// Share of positive labels.
    approval: f32,
}

/// Scratch columns for computing some items in parallel.
struct Side {
    /// Decayed, by half-life.
    counts: [[f32; SIDE]; LIVES],
    /// Decayed hours of availability.
    hours: [f32; SIDE],
    /// Decayed weights of labels, and the age of the last one in milliseconds.
    positive: [f32; SIDE],
    negative: [f32; SIDE],
    age: [f32; SIDE],
    /// Resulting features, one column per number.
    numbers: [[f32; SIDE]; NUMBERS],
}

impl Side {
    fn new() -> Side {
        let none = [0.0; SIDE];
        Side { counts: [none; LIVES], hours: none, positive: none, negative: none, age: none, numbers: [none; NUMBERS] }
    }

    fn put(&mut self, place: usize, counts: &[f64; LIVES], opinions: &Opinions, fades: &[f64; LIVES], now: Millis) {
        for ((side, count), fade) in self.counts.iter_mut().zip(counts).zip(fades) {
            side[place] = (count * fade) as f32;
        }
        (self.positive[place], self.negative[place]) = (opinions.positive, opinions.negative);
        self.age[place] = now.since(opinions.last) as f32;
    }
}

/// Transposes the counts of consecutive items from rows to columns.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn turn(side: &mut Side, counts: &[[f64; LIVES]], opinions: &[Opinions], fades: &[f64; LIVES], now: Millis) {
    let Side { counts: columns, positive, negative, age, .. } = side;
    for (k, column) in columns.iter_mut().enumerate() {
        for (place, counts) in column.iter_mut().zip(counts) {
            *place = (counts[k] * fades[k]) as f32;
        }
    }
    for (((positive, negative), age), opinions) in positive.iter_mut().zip(negative).zip(age).zip(opinions) {
        (*positive, *negative) = (opinions.positive, opinions.negative);
        *age = now.since(opinions.last) as f32;
    }
}

/// Sums of counts, in four accumulators so that additions do not wait for one another.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_counts(counts: &[[f64; LIVES]], sums: &mut [[f64; LIVES]; 4]) {
    let (fours, rest) = counts.as_chunks::<4>();
    for four in fours {
        for (sums, counts) in sums.iter_mut().zip(four) {
            for k in 0..LIVES {
                sums[k] += counts[k];
            }
        }
    }
    for counts in rest {
        for k in 0..LIVES {
            sums[0][k] += counts[k];
        }
    }
}

/// Computes the features of the first `n` items: ratios first, then their logarithms.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn compute(side: &mut Side, n: usize, level: &Level) {
    // Whole vectors; results in the surplus places are not used.
    let n = n.next_multiple_of(16).min(SIDE);
    let Side { counts, hours, positive, negative, age, numbers } = side;
    for k in 0..LIVES {
        for (number, count) in numbers[k][..n].iter_mut().zip(&counts[k]) {
            *number = (count + PRIOR as f32) * level.per_mean[k];
        }
    }
    let (prior, per_rate) = (level.rate * RATE_PRIOR_HOURS, 1.0 / level.rate);
    for ((number, count), hours) in numbers[LIVES][..n].iter_mut().zip(&counts[RATE_LIFE]).zip(hours) {
        *number = (count + prior) / (*hours + RATE_PRIOR_HOURS) * per_rate;
    }
    let like = OPINIONS_PRIOR[0] as f32 * level.approval;
    let skip = OPINIONS_PRIOR[0] as f32 * (1.0 - level.approval);
    let against = (1.0 - level.approval) / level.approval;
    let opinions = positive.iter().zip(negative).zip(age);
    for (number, ((positive, negative), age)) in numbers[LIVES + 1][..n].iter_mut().zip(opinions) {
        let fade = exp_of(*age * (-std::f32::consts::LN_2 / Opinions::HALF_LIFE_MS as f32));
        *number = (*positive * fade + like) / (*negative * fade + skip) * against;
    }
    for numbers in numbers {
        for number in &mut numbers[..n] {
            *number = ln_of(if *number > f32::MIN_POSITIVE { *number } else { f32::MIN_POSITIVE });
        }
    }
}

/// Decayed hours of availability of items that are always available, from their creation times.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn write_hours(created: &[Millis], now: Millis, out: &mut [f32]) {
    for (hours, created) in out.iter_mut().zip(created) {
        let age = now.since(*created) as f32 * (-std::f32::consts::LN_2 / HALF_LIVES_MS[RATE_LIFE] as f32);
        *hours = (1.0 - exp_of(age)) * LIFE_HOURS as f32;
    }
}

/// Sum in lanes, so that additions do not wait for one another.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn sum_of(numbers: &[f32]) -> f64 {
    let (parts, rest) = numbers.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for part in parts {
        for (sum, number) in lanes.iter_mut().zip(part) {
            *sum += f64::from(*number);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().copied().map(f64::from).sum::<f64>()
}

impl Popularity {
    /// Learns the label of an item whose main topic is `topic`.
    pub fn learn(&mut self, item: ItemId, topic: TopicId, signal: Signal, at: Millis) {
        let index = item.0 as usize;
        if index >= self.counts.len() {
            self.counts.resize(index + 1, [0.0; LIVES]);
            self.items.resize(index + 1, Opinions::default());
        }
        let topic = topic.0 as usize;
        if topic >= self.topics.len() {
            self.topics.resize(topic + 1, Opinions::default());
        }
        self.items[index].learn(signal, at);
        self.topics[topic].learn(signal, at);
        self.all.learn(signal, at);
        if !signal.positive {
            return;
        }
        for (k, half_life) in HALF_LIVES_MS.into_iter().enumerate() {
            // The origin moves after 64 half-lives.
            if (at.0 - self.origins[k].0) as f64 / half_life as f64 > 64.0 {
                let shrink = 1.0 / grown(at, self.origins[k], half_life);
                for counts in &mut self.counts {
                    counts[k] *= shrink;
                }
                self.origins[k] = at;
            }
            self.counts[index][k] += f64::from(signal.weight) * grown(at, self.origins[k], half_life);
        }
    }

    /// Learns a visit to an item; `is_first`: the user's first visit to it.
    pub fn visited(&mut self, item: ItemId, is_first: bool, at: Millis) {
        self.visitors.learn(item, is_first, at);
    }

    /// Decayed count of an item at `now`, for the half-life with this index.
    #[must_use]
    pub fn count(&self, item: ItemId, now: Millis, half_life: usize) -> f64 {
        self.counts.get(item.0 as usize).map_or(0.0, |counts| counts[half_life] * self.fades(now)[half_life])
    }

    /// Recomputes the table: the means over all `open` items, the features of these items, the topics.
    pub fn refresh<'a>(&mut self, table: &mut PopularityTable, open: impl Iterator<Item = Run<'a>>, now: Millis) {
        let fades = self.fades(now);
        // Hours of items that are always available; those of the others are written below.
        let most = self.counts.len();
        let (mut items, mut hours): (Vec<u32>, Vec<f32>) = (Vec::with_capacity(most), Vec::with_capacity(most));
        // Decay at both ends of each window, exponentiated all at once, and the end index of each item's windows.
        let (mut faded, mut spans): (Vec<f64>, Vec<(usize, usize)>) = (Vec::new(), Vec::new());
        for run in open {
            let others = spans.len();
            for (place, windows) in run.windows() {
                write_spans(windows, now, &mut faded);
                spans.push((items.len() + place, faded.len()));
            }
            let has_always = spans.len() - others < run.created.len();
            items.extend(run.first.0..run.first.0 + run.created.len() as u32);
            hours.resize(items.len(), 0.0);
            let begin = items.len() - run.created.len();
            if has_always {
                write_hours(run.created, now, &mut hours[begin..]);
            }
        }
        exp_each_f64(&mut faded);
        let mut begin = 0;
        for (place, end) in spans {
            let spans = faded[begin..end].chunks_exact(2).map(|ends| (ends[1] - ends[0]) * LIFE_HOURS);
            hours[place] = spans.sum::<f64>() as f32;
            begin = end;
        }
        self.visitors.refresh(&mut table.visitors, &items, now);
        let level = self.level(&items, &hours, fades);
        let mut side = Side::new();
        compute(&mut side, 1, &level);
        table.resize(self.counts.len(), &side.numbers.map(|numbers| numbers[0]));
        for (items, hours) in items.chunks(SIDE).zip(hours.chunks(SIDE)) {
            side.hours[..hours.len()].copy_from_slice(hours);
            match self.in_a_row(items) {
                Some((counts, opinions)) => turn(&mut side, counts, opinions, &fades, now),
                None => {
                    for (place, id) in items.iter().enumerate() {
                        let known = self.counts.get(*id as usize).zip(self.items.get(*id as usize));
                        let (counts, opinions) = known.unwrap_or((&[0.0; LIVES], &NO_OPINIONS));
                        side.put(place, counts, opinions, &fades, now);
                    }
                }
            }
            compute(&mut side, items.len(), &level);
            table.put(items, &side.numbers);
        }
        table.approval = self.all.rate();
        table.topics.clear();
        let of_topic = |opinions: &Opinions| opinions.log_odds(now, table.approval, OPINIONS_PRIOR[1]);
        table.topics.extend(self.topics.iter().map(of_topic));
    }

    /// Means over these items.
    fn level(&self, items: &[u32], hours: &[f32], fades: [f64; LIVES]) -> Level {
        let mut lanes = [[0.0; LIVES]; 4];
        for items in items.chunks(SIDE) {
            match self.in_a_row(items) {
                Some((counts, _)) => add_counts(counts, &mut lanes),
                None => {
                    let known = items.iter().filter_map(|id| self.counts.get(*id as usize));
                    known.for_each(|counts| add_counts(&[*counts], &mut lanes));
                }
            }
        }
        let sums: [f64; LIVES] = std::array::from_fn(|k| {
            let sum = (lanes[0][k] + lanes[1][k]) + (lanes[2][k] + lanes[3][k]);
            sum * fades[k]
        });
        let n = (items.len() as f64).max(1.0);
        let rate = (sums[RATE_LIFE] + PRIOR) / (sum_of(hours) + 1.0);
        let per_mean = sums.map(|sum| (1.0 / (sum / n + PRIOR)) as f32);
        Level { per_mean, rate: rate as f32, approval: self.all.rate() as f32 }
    }

    /// Counts and labels of these items if their ids are consecutive.
    fn in_a_row(&self, items: &[u32]) -> Option<(&[[f64; LIVES]], &[Opinions])> {
        let ids = *items.first()? as usize..*items.last()? as usize + 1;
        are_in_a_row(items).then(|| Some((self.counts.get(ids.clone())?, self.items.get(ids)?)))?
    }

    fn fades(&self, now: Millis) -> [f64; LIVES] {
        // Events that were learned while the clock was ahead lie in the future: counts do not decay until it has caught
        // up.
        std::array::from_fn(|k| 1.0 / grown(now.max(self.origins[k]), self.origins[k], HALF_LIVES_MS[k]))
    }
}

/// Labels of an item without any.
const NO_OPINIONS: Opinions = Opinions { positive: 0.0, negative: 0.0, last: Millis(0) };

/// Whether these rising ids are consecutive.
fn are_in_a_row(items: &[u32]) -> bool {
    items.first().zip(items.last()).is_some_and(|(first, last)| (last - first) as usize + 1 == items.len())
}

/// Mean lifetime (half-life of rates over `ln 2`), in hours: the decayed hours of an item that was always available.
const LIFE_HOURS: f64 = HALF_LIVES_MS[RATE_LIFE] as f64 / std::f64::consts::LN_2 / HOUR_MS as f64;

/// Logarithm of the decay since a past instant.
fn faded_by(at: Millis, now: Millis) -> f64 {
    now.since(at) as f64 * (-std::f64::consts::LN_2 / HALF_LIVES_MS[RATE_LIFE] as f64)
}

/// Appends the log-decay at begin and end of an item's windows; at most the last few windows count.
fn write_spans(windows: &Windows, now: Millis, out: &mut Vec<f64>) {
    const RECENT: usize = 4;
    let all = windows.as_slice();
    let begun = all.partition_point(|window| window.start <= now);
    for window in &all[begun.saturating_sub(RECENT)..begun] {
        out.extend([faded_by(window.start, now), faded_by(window.stop.unwrap_or(now).min(now), now)]);
    }
}

#[cfg(test)]
mod tests;
