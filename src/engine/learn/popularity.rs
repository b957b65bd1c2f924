//! How popular items are now, and how they are received: exponentially decayed counts at several half-lives.
//!
//! Invariant: a count is finite and not negative; an entry that comes late counts as much as it would have by now.

use serde::{Deserialize, Serialize};

use super::features::{Features, HALF_LIVES_MS, at};
use super::visitors::{Visitors, VisitorsTable};
use crate::domain::ids::{ItemId, TopicId};
use crate::domain::interactions::Signal;
use crate::domain::time::{DAY_MS, HOUR_MS, Millis};
use crate::domain::windows::Windows;
use crate::engine::simd::{exp_each_f64, ln_each};

const LIVES: usize = HALF_LIVES_MS.len();

/// Added to every count, so that a new item is neither buried nor crowned.
const PRIOR: f64 = 0.5;

/// The half-life that rates are counted with: seven days.
const RATE_LIFE: usize = 3;

/// The population's rate counts as much as this many hours of an item's own.
const RATE_PRIOR_HOURS: f64 = 4.0;

/// The population's like-rate counts as much as this many opinions of an item, or of a topic.
const OPINIONS_PRIOR: [f64; 2] = [5.0, 20.0];

/// A count at one half-life, in units of an origin that moves along so that it never overflows.
fn grown(at: Millis, origin: Millis, half_life: i64) -> f64 {
    ((at.0 - origin.0) as f64 / half_life as f64).exp2()
}

/// Decayed positive and negative weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Opinions {
    positive: f32,
    negative: f32,
    last: Millis,
}

impl Opinions {
    /// An opinion stands for long: tastes of whole populations, and how easily somebody approves, hardly move.
    const HALF_LIFE_MS: i64 = 365 * DAY_MS;

    /// One more, of this weight.
    pub fn learn(&mut self, signal: Signal, at: Millis) {
        let fade = self.fade(at);
        self.positive *= fade;
        self.negative *= fade;
        self.last = self.last.max(at);
        *(if signal.positive { &mut self.positive } else { &mut self.negative }) += signal.weight;
    }

    /// Log-odds of a positive one over those of `rate`, which counts as much as `prior` opinions.
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

    /// The share of positive ones, never 0 or 1.
    #[must_use]
    pub fn rate(&self) -> f64 {
        (f64::from(self.positive) + 1.0) / (f64::from(self.positive) + f64::from(self.negative) + 2.0)
    }

    fn fade(&self, now: Millis) -> f32 {
        (-(now.since(self.last) as f32) / Self::HALF_LIFE_MS as f32).exp2()
    }
}

/// Counts of all items and topics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Popularity {
    /// By item, by half-life: the count as it would stand at the origin.
    counts: Vec<[f64; LIVES]>,
    origins: [Millis; LIVES],
    items: Vec<Opinions>,
    topics: Vec<Opinions>,
    all: Opinions,
    visitors: Visitors,
}

/// What is published of it: by item and by topic, all log-odds among what is available.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PopularityTable {
    /// By item; what stands beyond is as `unseen`.
    rows: Vec<PopularityRow>,
    unseen: PopularityRow,
    topics: Vec<f32>,
    /// Share of positive opinions over everything; 0 before the first.
    approval: f64,
    visitors: VisitorsTable,
}

/// Log-odds of one item: by half-life, as a rate, of its approval.
pub type PopularityRow = [f32; LIVES + 2];

impl PopularityTable {
    /// The numbers of one item.
    #[must_use]
    pub fn row(&self, item: ItemId) -> &PopularityRow {
        self.rows.get(item.0 as usize).unwrap_or(&self.unseen)
    }

    /// Log ratio to the mean, of what was counted with a half-life of one day.
    #[must_use]
    pub fn within_a_day(&self, item: ItemId) -> f32 {
        self.row(item)[at::POPULARITY_1D - at::POPULARITY]
    }

    /// Who comes for the first time, and when.
    #[must_use]
    pub fn visitors(&self) -> &VisitorsTable {
        &self.visitors
    }

    /// How a topic is received, over all.
    #[must_use]
    pub fn topic_approval(&self, topic: TopicId) -> f32 {
        self.topics.get(topic.0 as usize).copied().unwrap_or(0.0)
    }

    /// Share of positive opinions over everybody and everything, in (0, 1).
    #[must_use]
    pub fn approval(&self) -> f64 {
        if self.approval > 0.0 { self.approval } else { 0.5 }
    }

    /// Fills in the popularity features of an item.
    pub fn describe(&self, item: ItemId, out: &mut Features) {
        // They stand side by side in both: half-lives, rate, approval.
        out[at::POPULARITY..=at::APPROVAL].copy_from_slice(self.row(item));
    }
}

/// What the counts are compared with: the mean over what is available.
#[derive(Clone, Copy, Debug)]
struct Level {
    means: [f64; LIVES],
    /// Positive interactions per available hour.
    rate: f64,
    /// Share of positive opinions.
    approval: f64,
}

impl Popularity {
    /// An opinion of an item, whose main topic is `topic`.
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
            // Beyond 64 half-lives the origin moves.
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

    /// A choice of an item, by somebody who was never there before, or who was.
    pub fn visited(&mut self, item: ItemId, is_first: bool, at: Millis) {
        self.visitors.learn(item, is_first, at);
    }

    /// The decayed count of an item at `now`, by half-life.
    #[must_use]
    pub fn count(&self, item: ItemId, now: Millis, half_life: usize) -> f64 {
        self.counts.get(item.0 as usize).map_or(0.0, |counts| counts[half_life] * self.fades(now)[half_life])
    }

    /// Computes the whole table afresh: the level over all that is `open`, the rows of the open items, the topics.
    pub fn refresh<'a>(
        &self,
        table: &mut PopularityTable,
        open: impl Iterator<Item = (ItemId, Millis, &'a Windows)>,
        now: Millis,
    ) {
        let fades = self.fades(now);
        let (mut sums, mut hours) = ([0.0; LIVES], 0.0);
        let mut available: Vec<(ItemId, f64)> = Vec::with_capacity(open.size_hint().0);
        // What both ends of each span have faded by, all at once; and how many spans there are up to each item.
        let (mut faded, mut spans): (Vec<f64>, Vec<usize>) = (Vec::new(), Vec::new());
        for (item, created, windows) in open {
            let counts = self.counts.get(item.0 as usize).copied().unwrap_or_default();
            for k in 0..LIVES {
                sums[k] += counts[k] * fades[k];
            }
            put_spans(created, windows, now, &mut faded);
            available.push((item, 0.0));
            spans.push(faded.len());
        }
        exp_each_f64(&mut faded);
        let mut begin = 0;
        for ((_, own), end) in available.iter_mut().zip(spans) {
            *own = faded[begin..end].chunks_exact(2).map(|ends| (ends[1] - ends[0]) * LIFE_HOURS).sum();
            hours += *own;
            begin = end;
        }
        self.visitors.refresh(&mut table.visitors, available.iter().map(|(item, _)| *item), now);
        let n = (available.len() as f64).max(1.0);
        let level = Level {
            means: sums.map(|sum| sum / n),
            rate: (sums[RATE_LIFE] + PRIOR) / (hours + 1.0),
            approval: self.all.rate(),
        };
        // Ratios first, then all logarithms at once.
        let mut ratios: Vec<PopularityRow> = Vec::with_capacity(available.len() + 1);
        ratios.extend(available.iter().map(|(item, hours)| self.ratios(*item, *hours, &fades, &level, now)));
        ratios.push(self.ratios(ItemId(u32::MAX), 0.0, &fades, &level, now));
        ln_each(ratios.as_flattened_mut());
        table.unseen = ratios.pop().unwrap_or_default();
        table.rows.resize(self.counts.len(), table.unseen);
        for ((item, _), row) in available.iter().zip(ratios) {
            if let Some(place) = table.rows.get_mut(item.0 as usize) {
                *place = row;
            }
        }
        table.approval = level.approval;
        table.topics.clear();
        let of_topic = |opinions: &Opinions| opinions.log_odds(now, level.approval, OPINIONS_PRIOR[1]);
        table.topics.extend(self.topics.iter().map(of_topic));
    }

    fn fades(&self, now: Millis) -> [f64; LIVES] {
        std::array::from_fn(|k| 1.0 / grown(now, self.origins[k], HALF_LIVES_MS[k]))
    }

    /// What the numbers of an item are logarithms of.
    fn ratios(&self, item: ItemId, hours: f64, fades: &[f64; LIVES], level: &Level, now: Millis) -> PopularityRow {
        let counts = self.counts.get(item.0 as usize).copied().unwrap_or_default();
        let mut ratios = [0.0; LIVES + 2];
        for k in 0..LIVES {
            ratios[k] = ((counts[k] * fades[k] + PRIOR) / (level.means[k] + PRIOR)) as f32;
        }
        let counted = counts[RATE_LIFE] * fades[RATE_LIFE];
        let rate = (counted + level.rate * RATE_PRIOR_HOURS) / (hours + RATE_PRIOR_HOURS);
        ratios[LIVES] = (rate / level.rate) as f32;
        let opinions = self.items.get(item.0 as usize).copied().unwrap_or_default();
        ratios[LIVES + 1] = opinions.odds(now, level.approval, OPINIONS_PRIOR[0]) as f32;
        ratios.map(|ratio| ratio.max(f32::MIN_POSITIVE))
    }
}

/// Half-life of rates over `ln 2`, in hours: what has always been available counts as so many.
const LIFE_HOURS: f64 = HALF_LIVES_MS[RATE_LIFE] as f64 / std::f64::consts::LN_2 / HOUR_MS as f64;

/// Spans for which an item was available, each by the logarithms of what its begin and its end have faded by; of many
/// windows, the last ones.
fn put_spans(created: Millis, windows: &Windows, now: Millis, out: &mut Vec<f64>) {
    const RECENT: usize = 4;
    let faded = |at: Millis| -(now.since(at) as f64) / HALF_LIVES_MS[RATE_LIFE] as f64 * std::f64::consts::LN_2;
    if windows.is_always() {
        out.extend([faded(created.min(now)), 0.0]);
        return;
    }
    let all = windows.as_slice();
    let begun = all.partition_point(|window| window.start <= now);
    for window in &all[begun.saturating_sub(RECENT)..begun] {
        out.extend([faded(window.start), faded(window.stop.unwrap_or(now).min(now))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIKE: Signal = Signal { positive: true, weight: 1.0 };
    const HIDE: Signal = Signal { positive: false, weight: 1.0 };

    #[test]
    fn a_count_halves_in_a_half_life_and_late_events_count_less() {
        let mut popularity = Popularity::default();
        popularity.learn(ItemId(1), TopicId(0), LIKE, Millis(1_000 * DAY_MS));
        popularity.learn(ItemId(1), TopicId(0), LIKE, Millis(999 * DAY_MS));
        let now = |days: i64| popularity.count(ItemId(1), Millis(days * DAY_MS), 2);
        assert!((now(1_000) - 1.5).abs() < 1e-9);
        assert!((now(1_001) - 0.75).abs() < 1e-9);
        assert_eq!(popularity.count(ItemId(9), Millis(0), 2), 0.0);
    }

    #[test]
    fn it_is_measured_against_the_mean_of_what_is_available() {
        let mut popularity = Popularity::default();
        for _ in 0..3 {
            popularity.learn(ItemId(0), TopicId(0), LIKE, Millis(0));
        }
        let always = Windows::default();
        let open = (0..3).map(|id| (ItemId(id), Millis(0), &always));
        let mut table = PopularityTable::default();
        popularity.refresh(&mut table, open, Millis(0));
        assert!((table.row(ItemId(0))[2] - (3.5_f32 / 1.5).ln()).abs() < 1e-6);
        assert!((table.row(ItemId(2))[2] - (0.5_f32 / 1.5).ln()).abs() < 1e-6);
    }

    #[test]
    fn a_rate_is_per_hour_that_it_was_available() {
        use crate::domain::windows::Window;
        let mut popularity = Popularity::default();
        for item in [0, 1] {
            for _ in 0..20 {
                popularity.learn(ItemId(item), TopicId(0), LIKE, Millis(10 * HOUR_MS));
            }
        }
        let windows = |hours: i64| {
            let stop = Some(Millis(10 * HOUR_MS + 1));
            Windows::new(vec![Window { start: Millis((10 - hours) * HOUR_MS), stop }]).unwrap_or_default()
        };
        let (short, long) = (windows(1), windows(10));
        let mut table = PopularityTable::default();
        let open = [(ItemId(0), Millis(0), &short), (ItemId(1), Millis(0), &long)];
        popularity.refresh(&mut table, open.into_iter(), Millis(10 * HOUR_MS));
        assert!(table.row(ItemId(0))[LIVES] > table.row(ItemId(1))[LIVES] + 0.5);
    }

    #[test]
    fn approval_is_shrunk_to_what_all_say() {
        let mut popularity = Popularity::default();
        for n in 0..100 {
            popularity.learn(ItemId(9), TopicId(2), if n % 2 == 0 { LIKE } else { HIDE }, Millis(0));
        }
        popularity.learn(ItemId(0), TopicId(1), LIKE, Millis(0));
        for _ in 0..50 {
            popularity.learn(ItemId(1), TopicId(1), LIKE, Millis(0));
        }
        let always = Windows::default();
        let mut table = PopularityTable::default();
        popularity.refresh(&mut table, [0, 1, 9].map(|id| (ItemId(id), Millis(0), &always)).into_iter(), Millis(0));
        let of = |id| table.row(ItemId(id))[LIVES + 1];
        assert!(of(9) < of(0) && of(0) < of(1), "{} {} {}", of(9), of(0), of(1));
        assert!(table.topic_approval(TopicId(1)) > 0.0 && table.topic_approval(TopicId(2)) < 0.0);
    }
}
