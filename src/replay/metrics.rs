//! Ranking metrics: ranks of targets, sums per user, bootstrap intervals.
//!
//! Invariant: sums run in the order of the log and of user indices, so equal ranks give equal figures, bit by bit. A
//! figure over no target, and an interval over fewer than two users, is `None`: `-` in tables, `null` in JSON.
//! Absent on purpose: rankers and rows.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::engine::numeric::kernels::{LANES, exp_each};

/// Rank of a target among the available items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Rank from 1, the top.
    pub rank: u32,
    /// Number of available items, at least 1.
    pub of: u32,
}

impl Rank {
    /// The rank of `scores[target]` in descending order; ties count in the order of indices, NaN comes last.
    #[must_use]
    pub fn of_place(scores: &[f32], target: usize) -> Rank {
        let key = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score };
        let score = scores.get(target).map_or(f32::NEG_INFINITY, |score| key(*score));
        let (before, after) = (&scores[..target.min(scores.len())], scores.get(target + 1..).unwrap_or(&[]));
        // NaN precedes nothing but later NaNs, because every comparison with it is false.
        let before: u32 = match score == f32::NEG_INFINITY {
            true => before.len() as u32,
            false => before.iter().map(|other| u32::from(*other >= score)).sum(),
        };
        let after: u32 = after.iter().map(|other| u32::from(*other > score)).sum();
        Rank { rank: before + after + 1, of: scores.len().max(1) as u32 }
    }

    /// NDCG@10 of a single relevant item: `1 / log2(1 + rank)` down to rank 10, 0 below.
    #[must_use]
    pub fn ndcg_10(self) -> f64 {
        if self.rank <= 10 { 1.0 / f64::from(1 + self.rank).log2() } else { 0.0 }
    }

    /// Share of the other available items below the target; `None` without other items.
    #[must_use]
    pub fn auc(self) -> Option<f64> {
        (self.of >= 2).then(|| f64::from(self.of - self.rank) / f64::from(self.of - 1))
    }
}

/// Number of figures of a target: HR@1, HR@5, HR@10, NDCG@10, MRR, AUC.
pub const FIGURES: usize = 6;

/// Sums of figures over targets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Number of targets.
    pub n: u64,
    /// Number of targets that had other available items, and so have an AUC.
    pub among_others: u64,
    /// Sums of HR@1, HR@5, HR@10, NDCG@10, MRR, AUC.
    pub sums: [f64; FIGURES],
}

impl Sums {
    /// Adds a target.
    pub fn add(&mut self, rank: Rank) {
        let within = |k: u32| f64::from(u8::from(rank.rank <= k));
        let auc = rank.auc();
        let reciprocal = 1.0 / f64::from(rank.rank);
        let figures = [within(1), within(5), within(10), rank.ndcg_10(), reciprocal, auc.unwrap_or(0.0)];
        self.n += 1;
        self.among_others += u64::from(auc.is_some());
        for (sum, figure) in self.sums.iter_mut().zip(figures) {
            *sum += figure;
        }
    }

    /// Adds the targets of other sums.
    pub fn merge(&mut self, other: &Sums) {
        self.n += other.n;
        self.among_others += other.among_others;
        for (sum, theirs) in self.sums.iter_mut().zip(other.sums) {
            *sum += theirs;
        }
    }

    /// Means over the targets; the mean AUC covers only targets with other available items.
    #[must_use]
    pub fn means(&self) -> [Option<f64>; FIGURES] {
        let [hr_1, hr_5, hr_10, ndcg_10, mrr, auc] = self.sums;
        let of_all = [hr_1, hr_5, hr_10, ndcg_10, mrr].map(|sum| ratio(sum, self.n as f64));
        let [hr_1, hr_5, hr_10, ndcg_10, mrr] = of_all;
        [hr_1, hr_5, hr_10, ndcg_10, mrr, ratio(auc, self.among_others as f64)]
    }
}

/// Ranking figures of one split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Number of targets.
    pub n: u64,
    /// Share of targets at rank 1 (HR@1).
    #[serde(rename = "hr@1")]
    pub hr_1: Option<f64>,
    /// Share of targets among the first five (HR@5).
    #[serde(rename = "hr@5")]
    pub hr_5: Option<f64>,
    /// Share of targets among the first ten (HR@10).
    #[serde(rename = "hr@10")]
    pub hr_10: Option<f64>,
    /// Mean NDCG@10: `1 / log2(1 + rank)` down to rank 10.
    #[serde(rename = "ndcg@10")]
    pub ndcg_10: Option<f64>,
    /// Mean reciprocal rank, `1 / rank`.
    pub mrr: Option<f64>,
    /// Mean share of the other available items below the target, over targets with other items.
    pub auc: Option<f64>,
    /// 95 % intervals; `null` where fewer than two users have a target.
    pub intervals: Option<Intervals>,
}

/// Bootstrap intervals over users: from the 2.5th to the 97.5th percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Intervals {
    /// Interval of [`Figures::hr_1`].
    #[serde(rename = "hr@1")]
    pub hr_1: Option<[f64; 2]>,
    /// Interval of [`Figures::hr_5`].
    #[serde(rename = "hr@5")]
    pub hr_5: Option<[f64; 2]>,
    /// Interval of [`Figures::hr_10`].
    #[serde(rename = "hr@10")]
    pub hr_10: Option<[f64; 2]>,
    /// Interval of [`Figures::ndcg_10`].
    #[serde(rename = "ndcg@10")]
    pub ndcg_10: Option<[f64; 2]>,
    /// Interval of [`Figures::mrr`].
    pub mrr: Option<[f64; 2]>,
    /// Interval of [`Figures::auc`].
    pub auc: Option<[f64; 2]>,
}

impl Figures {
    fn new(sums: &Sums, intervals: Option<Intervals>) -> Figures {
        let [hr_1, hr_5, hr_10, ndcg_10, mrr, auc] = sums.means();
        Figures { n: sums.n, hr_1, hr_5, hr_10, ndcg_10, mrr, auc, intervals }
    }
}

/// Figures of all, new and repeated targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Splits {
    /// Figures of all targets.
    pub all: Figures,
    /// Figures of targets that the user never visited before.
    pub new: Figures,
    /// Figures of targets that the user visited before.
    pub repeat: Figures,
}

/// Sums per user: new targets and repeated ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerPerson(Vec<[Sums; 2]>);

impl PerPerson {
    /// Empty sums for `people` users.
    #[must_use]
    pub fn new(people: usize) -> PerPerson {
        PerPerson(vec![Default::default(); people])
    }

    /// Adds a target of a user.
    pub fn add(&mut self, person: u32, is_repeat: bool, rank: Rank) {
        self.0[person as usize][usize::from(is_repeat)].add(rank);
    }

    /// Figures with intervals from `resamples` bootstrap draws over the users with a target.
    ///
    /// Source: Efron, *Bootstrap methods: another look at the jackknife*, Annals of Statistics 1979; percentile
    /// intervals.
    #[must_use]
    pub fn splits(&self, resamples: usize, seed: u64) -> Splits {
        let people: Vec<[Sums; 2]> = self.0.iter().filter(|[new, repeat]| new.n + repeat.n > 0).copied().collect();
        let whole = three(people.iter());
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut drawn: [[Vec<f64>; FIGURES]; 3] = Default::default();
        if people.len() > 1 {
            for _ in 0..resamples {
                let draw = three((0..people.len()).map(|_| &people[random.random_range(0..people.len())]));
                for (drawn, sums) in drawn.iter_mut().zip(draw) {
                    for (drawn, mean) in drawn.iter_mut().zip(sums.means()) {
                        drawn.extend(mean);
                    }
                }
            }
        }
        let each = people.iter().map(|person| three(std::iter::once(person)));
        let mut counts = [[0_usize; 2]; 3];
        for split in each {
            for (count, sums) in counts.iter_mut().zip(split) {
                count[0] += usize::from(sums.n > 0);
                count[1] += usize::from(sums.among_others > 0);
            }
        }
        let [all, new, repeat] = [0, 1, 2].map(|split| {
            // With a single user all resamples agree, which is no interval.
            let [with_target, with_auc] = counts[split].map(|people| people > 1);
            let [hr_1, hr_5, hr_10, ndcg_10, mrr, auc] = &mut drawn[split];
            let intervals = with_target.then(|| Intervals {
                hr_1: middle_95(hr_1),
                hr_5: middle_95(hr_5),
                hr_10: middle_95(hr_10),
                ndcg_10: middle_95(ndcg_10),
                mrr: middle_95(mrr),
                auc: middle_95(auc).filter(|_| with_auc),
            });
            Figures::new(&whole[split], intervals)
        });
        Splits { all, new, repeat }
    }
}

/// Sums of all, new and repeated targets.
fn three<'a>(people: impl Iterator<Item = &'a [Sums; 2]>) -> [Sums; 3] {
    let (mut new, mut repeat) = (Sums::default(), Sums::default());
    for person in people {
        new.merge(&person[0]);
        repeat.merge(&person[1]);
    }
    let mut all = new;
    all.merge(&repeat);
    [all, new, repeat]
}

/// The 2.5th and the 97.5th percentile, by nearest rank; `None` for no values. Sorts its argument.
#[must_use]
pub fn middle_95(values: &mut [f64]) -> Option<[f64; 2]> {
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (share * values.len() as f64).ceil() as usize;
        values.get(rank.clamp(1, values.len().max(1)) - 1).copied()
    };
    at(0.025).zip(at(0.975)).map(<[f64; 2]>::from)
}

/// The quotient `sum / n`; `None` for n = 0.
#[must_use]
pub fn ratio(sum: f64, n: f64) -> Option<f64> {
    (n > 0.0).then(|| sum / n)
}

/// Formats a figure with `digits` decimals; `-` where it is undefined.
#[must_use]
pub fn shown(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
}

/// Formats an interval with `digits` decimals; `-` where it is undefined.
#[must_use]
pub fn shown_interval(interval: Option<[f64; 2]>, digits: usize, between: &str) -> String {
    interval.map_or_else(|| "-".to_owned(), |[low, high]| format!("{low:.digits$}{between}{high:.digits$}"))
}

/// Predictions of one tenth of the probability range, against their outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// Number of predictions.
    pub n: u64,
    /// Mean predicted probability; `null` in an empty bin.
    pub promised: Option<f64>,
    /// Share of positive outcomes; `null` in an empty bin.
    pub came_true: Option<f64>,
}

impl Bin {
    /// A bin of `n` predictions with `came_true` positive outcomes and this sum of probabilities.
    #[must_use]
    pub fn new(n: u64, came_true: u64, probability_sum: f64) -> Bin {
        Bin { n, promised: ratio(probability_sum, n as f64), came_true: ratio(came_true as f64, n as f64) }
    }
}

/// Number of scores that are exponentiated together.
const PART: usize = 256;

/// Maximum, ignoring NaN; minus infinity for no numbers. Runs in SIMD lanes, since every ranking needs it.
fn largest(numbers: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (lanes, rest) = numbers.as_chunks::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for numbers in lanes {
        for (most, number) in most.iter_mut().zip(numbers) {
            *most = larger(*most, *number);
        }
    }
    most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// Calibration and log loss of softmax probabilities over the available items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Promises {
    n: u64,
    log_loss: f64,
    log_loss_chance: f64,
    /// Bins of the top item of each ranking: count, hits, sum of probabilities.
    bins: [(u64, u64, f64); 10],
}

/// The figures of [`Promises`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PromisesReport {
    /// Mean of `-ln p(target)` over the available items, in nats.
    pub log_loss: f64,
    /// Mean log loss of uniform probabilities, in nats.
    pub log_loss_chance: f64,
    /// Expected calibration error of the top item of each ranking.
    pub ece: f64,
    /// Reliability diagram of the top item of each ranking, by tenths.
    pub bins: Vec<Bin>,
}

impl Promises {
    /// Records one ranking: log-odds of all available items, and the index and rank of the target. Returns the log loss in
    /// nats; `None` where it is undefined.
    pub fn record(&mut self, scores: &[f32], target: usize, rank: Rank) -> Option<f64> {
        let largest = largest(scores);
        if !largest.is_finite() {
            return None;
        }
        let mut total = 0.0;
        for scores in scores.chunks(PART) {
            let mut odds = [0.0; PART];
            odds.iter_mut().zip(scores).for_each(|(odds, score)| *odds = score - largest);
            exp_each(&mut odds[..scores.len()]);
            total += odds[..scores.len()].iter().map(|odds| f64::from(*odds)).sum::<f64>();
        }
        let score = scores.get(target)?;
        self.n += 1;
        let log_loss = total.ln() - f64::from(score - largest);
        self.log_loss += log_loss;
        self.log_loss_chance += (scores.len() as f64).ln();
        let promised = 1.0 / total;
        let bin = &mut self.bins[((promised * 10.0) as usize).min(9)];
        bin.0 += 1;
        bin.1 += u64::from(rank.rank == 1);
        bin.2 += promised;
        Some(log_loss)
    }

    /// The figures; `None` without a recorded ranking.
    #[must_use]
    pub fn report(&self) -> Option<PromisesReport> {
        let n = self.n.max(1) as f64;
        let gaps: f64 = self.bins.iter().map(|(_, came, promised)| (*came as f64 - promised).abs()).sum();
        let bins = self.bins.iter().map(|(count, came, promised)| Bin::new(*count, *came, *promised));
        (self.n > 0).then(|| PromisesReport {
            log_loss: self.log_loss / n,
            log_loss_chance: self.log_loss_chance / n,
            ece: gaps / n,
            bins: bins.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-12
    }

    #[test]
    fn ranks_and_their_figures_as_a_hand_counts_them() {
        let nan = f32::NAN;
        for (name, scores, place, rank, ndcg, auc) in [
            ("first", &[3.0, 1.0, 2.0][..], 0, 1, 1.0, Some(1.0)),
            ("second", &[3.0, 1.0, 2.0], 2, 2, 1.0 / 3.0_f64.log2(), Some(0.5)),
            ("last", &[3.0, 1.0, 2.0], 1, 3, 0.5, Some(0.0)),
            ("a tie before it", &[2.0, 2.0], 1, 2, 1.0 / 3.0_f64.log2(), Some(0.0)),
            ("a tie after it", &[2.0, 2.0], 0, 1, 1.0, Some(1.0)),
            ("alone", &[0.0], 0, 1, 1.0, None),
            ("never a number before a number", &[nan, 0.0], 1, 1, 1.0, Some(1.0)),
            ("not a number itself", &[nan, 0.0, nan], 2, 3, 0.5, Some(0.0)),
        ] {
            let found = Rank::of_place(scores, place);
            assert_eq!(found, Rank { rank, of: scores.len() as u32 }, "{name}");
            assert!(near(found.ndcg_10(), ndcg), "{name}: {found:?}");
            assert_eq!(found.auc(), auc, "{name}");
        }
        let eleventh = Rank { rank: 11, of: 20 };
        assert!(near(eleventh.ndcg_10(), 0.0) && near(eleventh.auc().unwrap(), 9.0 / 19.0));
    }

    #[test]
    fn the_largest_is_the_largest_wherever_it_stands() {
        for n in [0, 1, 31, 32, 33, 100] {
            for place in 0..n {
                let mut numbers: Vec<f32> = (0..n).map(|k| if k % 5 == 0 { f32::NAN } else { -(k as f32) }).collect();
                numbers[place] = 7.5;
                assert_eq!(largest(&numbers), 7.5, "{place} of {n}");
            }
            assert_eq!(largest(&vec![f32::NAN; n]), f32::NEG_INFINITY, "{n}");
        }
    }

    #[test]
    fn splits_are_counted_apart_and_resampled_alike() {
        let mut people = PerPerson::new(4);
        for (person, is_repeat, rank) in [(0, false, 1), (0, true, 2), (1, true, 6), (2, false, 11), (2, true, 1)] {
            people.add(person, is_repeat, Rank { rank, of: 20 });
        }
        let found = people.splits(200, 7);
        assert_eq!((found.all.n, found.new.n, found.repeat.n), (5, 2, 3));
        let is = |found: Option<f64>, expected: f64| near(found.unwrap(), expected);
        assert!(is(found.all.hr_1, 0.4) && is(found.all.hr_5, 0.6) && is(found.all.hr_10, 0.8));
        assert!(is(found.new.mrr, (1.0 + 1.0 / 11.0) / 2.0) && is(found.repeat.mrr, (0.5 + 1.0 / 6.0 + 1.0) / 3.0));
        let ([low, high], mrr) = (found.all.intervals.unwrap().mrr.unwrap(), found.all.mrr.unwrap());
        assert!(low <= mrr && mrr <= high && low < high, "{low} {high}");
        assert_eq!(found, people.splits(200, 7), "the same seed, the same interval");
    }

    /// A mean over nothing is undefined, and so is an interval over one user.
    #[test]
    fn figures_over_nothing_are_undefined() {
        let nothing = PerPerson::new(3).splits(10, 1);
        assert_eq!(nothing, Splits::default());
        assert_eq!((nothing.all.hr_1, nothing.all.auc, nothing.all.intervals), (None, None, None));
        let mut one = PerPerson::new(3);
        one.add(1, false, Rank { rank: 1, of: 1 });
        let found = one.splits(10, 1);
        assert_eq!(
            (found.all.hr_1, found.all.auc, found.all.intervals),
            (Some(1.0), None, None),
            "alone on the screen"
        );
        assert_eq!((found.repeat.n, found.repeat.mrr), (0, None));
        // A second user gives intervals, except for the AUC, which neither user has.
        one.add(2, false, Rank { rank: 1, of: 1 });
        let found = one.splits(10, 1);
        let intervals = found.new.intervals.unwrap();
        assert_eq!((intervals.hr_1, intervals.auc), (Some([1.0, 1.0]), None));
        assert_eq!(found.repeat.intervals, None);
        assert_eq!((shown(None, 3), shown(Some(0.5), 3)), ("-".to_owned(), "0.500".to_owned()));
        assert_eq!(serde_json::to_value(Bin::new(0, 0, 0.0)).unwrap()["promised"], serde_json::Value::Null);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut values: Vec<f64> = (1..=1_000).rev().map(f64::from).collect();
        assert_eq!(middle_95(&mut values), Some([25.0, 975.0]));
        assert_eq!(middle_95(&mut [3.0]), Some([3.0, 3.0]));
        assert_eq!(middle_95(&mut []), None);
    }

    #[test]
    fn promises_are_those_of_a_softmax() {
        let mut promises = Promises::default();
        assert!(promises.report().is_none());
        // Odds of 3 to 1: the top item has probability 0.75. It is the target once, the other item once.
        let scores = [3.0_f32.ln(), 0.0];
        promises.record(&scores, 0, Rank { rank: 1, of: 2 });
        promises.record(&scores, 1, Rank { rank: 2, of: 2 });
        let found = promises.report().unwrap();
        let expected = -(0.75_f64.ln() + 0.25_f64.ln()) / 2.0;
        assert!((found.log_loss - expected).abs() < 1e-6 && near(found.log_loss_chance, 2.0_f64.ln()));
        assert!((found.ece - 0.25).abs() < 1e-6 && found.bins[7].n == 2 && found.bins[7].came_true == Some(0.5));
    }
}
