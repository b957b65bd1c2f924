//! Progressive (prequential) validation: quality of predictions that were made before their labels were learned.
//!
//! Invariant: a score is recorded together with its label, before that label is learned; the state depends only on the
//! sequence of these pairs. Scores are finite (learners clamp theirs), so no figure is ever NaN.
//! Deliberately absent: learning, clocks, sampling; the identity of users and rankings.

use serde::{Deserialize, Serialize};

/// Labels of each class from which on a user's AUC is meaningful: with ten of each, the standard error of an AUC of one
/// half is 0.13.
pub const LABELS_MIN: usize = 10;

/// `1 / (1 + exp(-logit))`, without overflow.
#[must_use]
pub fn sigmoid(logit: f64) -> f64 {
    if logit >= 0.0 {
        1.0 / (1.0 + (-logit).exp())
    } else {
        let odds = logit.exp();
        odds / (1.0 + odds)
    }
}

/// Log loss in nats of predicting `sigmoid(logit)`: `-ln p` for a positive, `-ln(1 - p)` for a negative. It is computed
/// as `max(z, 0) + ln(1 + exp(-|z|))` with `z = -logit` or `logit`, which neither overflows nor underflows early.
#[must_use]
pub fn log_loss(logit: f64, positive: bool) -> f64 {
    let z = if positive { -logit } else { logit };
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// Area under the ROC curve: the probability that a positive scores above a negative; ties count half. Exact, O(n log
/// n). `None` unless both labels occur. Pairs beyond the shorter of the two slices are ignored.
///
/// Source: Hanley & McNeil, *The meaning and use of the area under a ROC curve*, Radiology 1982 (Wilcoxon statistic).
#[must_use]
pub fn roc_auc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    let mut pairs: Vec<(f32, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    auc_of(&mut pairs)
}

/// Computes [`roc_auc`] in place; sorts the pairs.
fn auc_of(pairs: &mut [(f32, bool)]) -> Option<f64> {
    auc_of_groups(tied_groups(pairs))
}

/// The ROC curve of scores `(n,)` and labels `(n,)`: corners from (0, 0) to (1, 1). Empty unless both labels occur.
#[must_use]
pub fn roc_curve(scores: &[f32], labels: &[bool]) -> Vec<RocPoint> {
    let mut pairs: Vec<(f32, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    roc_of_groups(tied_groups(&mut pairs))
}

/// Sorts the pairs, and counts the `(positives, negatives)` of each group of tied scores, in rising order.
fn tied_groups(pairs: &mut [(f32, bool)]) -> impl DoubleEndedIterator<Item = (u64, u64)> {
    for pair in pairs.iter_mut() {
        pair.0 += 0.0; // -0 and 0 tie
    }
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    pairs.chunk_by(|a, b| a.0 == b.0).map(|tied| {
        let positives = tied.iter().filter(|pair| pair.1).count() as u64;
        (positives, tied.len() as u64 - positives)
    })
}

/// AUC from `(positives, negatives)` of tied groups in rising order. Counts pairs in halves, so nothing is rounded.
fn auc_of_groups(groups: impl Iterator<Item = (u64, u64)>) -> Option<f64> {
    let (mut positives, mut negatives, mut halves) = (0_u64, 0_u64, 0_u128);
    for (positive, negative) in groups {
        halves += u128::from(positive) * (2 * u128::from(negatives) + u128::from(negative));
        positives += positive;
        negatives += negative;
    }
    let pairs = u128::from(positives) * u128::from(negatives);
    (pairs > 0).then(|| halves as f64 / (2.0 * pairs as f64))
}

/// A point of a ROC curve: the false positive rate, then the true positive rate, both in [0, 1].
pub type RocPoint = [f32; 2];

/// The ROC curve from `(positives, negatives)` of tied groups in rising order: corners from (0, 0) to (1, 1), without
/// points on a straight line between their neighbours. Empty unless both labels occur. Its area is `auc_of_groups`.
fn roc_of_groups(groups: impl DoubleEndedIterator<Item = (u64, u64)>) -> Vec<RocPoint> {
    let mut corners: Vec<(u64, u64)> = vec![(0, 0)];
    for (positive, negative) in groups.rev().filter(|(positive, negative)| positive + negative > 0) {
        let (hits, alarms) = *corners.last().unwrap_or(&(0, 0));
        let next = (hits + positive, alarms + negative);
        if let [.., before, last] = corners.as_mut_slice() {
            let (up, across) = (u128::from(last.0 - before.0), u128::from(last.1 - before.1));
            if up * u128::from(negative) == across * u128::from(positive) {
                *last = next;
                continue;
            }
        }
        corners.push(next);
    }
    let (positives, negatives) = *corners.last().unwrap_or(&(0, 0));
    if positives == 0 || negatives == 0 {
        return Vec::new();
    }
    let share = |part: u64, whole: u64| (part as f64 / whole as f64) as f32;
    corners.into_iter().map(|(hits, alarms)| [share(alarms, negatives), share(hits, positives)]).collect()
}

/// Exact ROC AUC over the last labelled scores of one user. At most 4 bytes and 1 bit per score; no allocation before
/// the first one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "RecentAucState", into = "RecentAucState")]
pub struct RecentAuc {
    /// At least 1.
    capacity: u32,
    /// Ring buffer: the first `capacity` scores in order of arrival; then the oldest is overwritten.
    scores: Vec<f32>,
    /// One bit per score.
    labels: Vec<u64>,
    /// Index of the oldest score once the ring is full.
    oldest: usize,
}

/// Equal when both hold equal scores in equal order, wherever their rings begin.
impl PartialEq for RecentAuc {
    fn eq(&self, other: &Self) -> bool {
        self.capacity == other.capacity && self.pairs().eq(other.pairs())
    }
}

/// Serialised form: oldest first, independent of the ring's begin.
#[derive(Serialize, Deserialize)]
struct RecentAucState {
    capacity: u32,
    scores: Vec<f32>,
    labels: Vec<u64>,
}

impl Default for RecentAuc {
    fn default() -> Self {
        RecentAuc::new(Self::CAPACITY)
    }
}

impl RecentAuc {
    /// Number of scores that the default keeps.
    pub(crate) const CAPACITY: u32 = 256;

    /// Keeps the last `capacity` scores, at least one.
    #[must_use]
    pub fn new(capacity: u32) -> RecentAuc {
        RecentAuc { capacity: capacity.max(1), scores: Vec::new(), labels: Vec::new(), oldest: 0 }
    }

    /// Records a score, finite and on any monotone scale, that was predicted before the label was known.
    pub fn record(&mut self, score: f32, positive: bool) {
        let index = if self.scores.len() < self.capacity as usize {
            let room = self.scores.len();
            if room == self.scores.capacity() {
                // Doubles, but never beyond the capacity.
                self.scores.reserve_exact(room.max(8).min(self.capacity as usize - room));
            }
            self.scores.push(score);
            self.labels.resize(self.scores.len().div_ceil(64), 0);
            room
        } else {
            let index = self.oldest;
            self.scores[index] = score;
            self.oldest = (index + 1) % self.scores.len();
            index
        };
        let (word, bit) = (index / 64, index % 64);
        self.labels[word] = self.labels[word] & !(1 << bit) | u64::from(positive) << bit;
    }

    /// The AUC, see [`roc_auc`]; `None` until both labels are among the kept ones. O(n log n) per call.
    #[must_use]
    pub fn auc(&self) -> Option<f32> {
        auc_of(&mut self.pairs().collect::<Vec<_>>()).map(|auc| auc as f32)
    }

    /// The ROC curve of the kept scores, at most one point more than these; empty until both labels are among them.
    #[must_use]
    pub fn roc(&self) -> Vec<RocPoint> {
        let mut pairs: Vec<(f32, bool)> = self.pairs().collect();
        roc_of_groups(tied_groups(&mut pairs))
    }

    /// Mean log loss, in nats, of the kept scores taken as log-odds; `None` before the first.
    #[must_use]
    pub fn log_loss(&self) -> Option<f32> {
        let sum: f64 = self.pairs().map(|(score, positive)| log_loss(f64::from(score), positive)).sum();
        (!self.is_empty()).then(|| (sum / self.len() as f64) as f32)
    }

    /// Number of kept labels: `(positive, negative)`.
    #[must_use]
    pub fn labels(&self) -> (usize, usize) {
        let positive = self.pairs().filter(|(_, positive)| *positive).count();
        (positive, self.len() - positive)
    }

    /// Number of kept scores.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether no score was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Pairs of score and label, oldest first.
    fn pairs(&self) -> impl Iterator<Item = (f32, bool)> {
        let order = (self.oldest..self.scores.len()).chain(0..self.oldest);
        order.map(|index| (self.scores[index], self.labels[index / 64] >> (index % 64) & 1 == 1))
    }
}

impl From<RecentAuc> for RecentAucState {
    fn from(auc: RecentAuc) -> Self {
        let mut labels = vec![0; auc.labels.len()];
        for (index, (_, positive)) in auc.pairs().enumerate() {
            labels[index / 64] |= u64::from(positive) << (index % 64);
        }
        RecentAucState { capacity: auc.capacity, scores: auc.pairs().map(|pair| pair.0).collect(), labels }
    }
}

impl TryFrom<RecentAucState> for RecentAuc {
    type Error = ProgressiveError;

    fn try_from(state: RecentAucState) -> Result<Self, Self::Error> {
        let RecentAucState { capacity, scores, labels } = state;
        let whole = capacity >= 1 && scores.len() <= capacity as usize && labels.len() == scores.len().div_ceil(64);
        if !whole {
            return Err(ProgressiveError::Length);
        }
        if !scores.iter().all(|score| score.is_finite()) {
            return Err(ProgressiveError::NotFinite);
        }
        Ok(RecentAuc { capacity, scores, labels, oldest: 0 })
    }
}

/// Reason why a stored tracker cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProgressiveError {
    /// The lengths of its lists do not match.
    #[error("lists of a progressive tracker do not fit each other")]
    Length,
    /// It contains NaN or infinity.
    #[error("a progressive tracker holds a number that is not finite")]
    NotFinite,
}

/// ROC AUC over any number of labelled logits in 8 KiB, for all users together. Logits in [-8, 8] fall into 512 bins of
/// equal width; logits outside fall into the outermost ones. Logits in one bin tie, so the error is at most half of the
/// share of (positive, negative) pairs within one bin. Merging is commutative and associative.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "HistogramState", into = "HistogramState")]
pub struct ScoreHistogram {
    /// Negatives, then positives, per bin; empty before the first.
    counts: Vec<[u64; 2]>,
}

/// Serialised form: the counts alone.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct HistogramState(Vec<[u64; 2]>);

impl ScoreHistogram {
    /// Number of bins.
    pub const BINS: usize = 512;
    /// Bound of the binned range of logits, plus and minus.
    pub(crate) const LOGIT_MAX: f32 = 8.0;

    /// Records a logit that was predicted before the label was known.
    pub fn record(&mut self, logit: f32, positive: bool) {
        if self.counts.is_empty() {
            self.counts = vec![[0; 2]; Self::BINS];
        }
        self.counts[Self::bin(logit)][usize::from(positive)] += 1;
    }

    /// The AUC up to binning; `None` unless both labels were seen. O(bins).
    #[must_use]
    pub fn auc(&self) -> Option<f64> {
        auc_of_groups(self.counts.iter().map(|[negatives, positives]| (*positives, *negatives)))
    }

    /// The ROC curve up to binning, at most `BINS + 1` points; empty unless both labels were seen.
    #[must_use]
    pub fn roc(&self) -> Vec<RocPoint> {
        roc_of_groups(self.counts.iter().map(|[negatives, positives]| (*positives, *negatives)))
    }

    /// Number of recorded logits.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Number of labels: `(positive, negative)`.
    #[must_use]
    pub fn labels(&self) -> (u64, u64) {
        self.counts.iter().fold((0, 0), |(positive, negative), bin| (positive + bin[1], negative + bin[0]))
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &ScoreHistogram) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
            return;
        }
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            ours[0] += theirs[0];
            ours[1] += theirs[1];
        }
    }

    fn bin(logit: f32) -> usize {
        let share = (logit / Self::LOGIT_MAX + 1.0) * 0.5;
        // A float-to-integer cast saturates, so the first bin takes all logits below the range.
        ((share * Self::BINS as f32) as usize).min(Self::BINS - 1)
    }
}

impl From<ScoreHistogram> for HistogramState {
    fn from(histogram: ScoreHistogram) -> Self {
        HistogramState(histogram.counts)
    }
}

impl TryFrom<HistogramState> for ScoreHistogram {
    type Error = ProgressiveError;

    fn try_from(state: HistogramState) -> Result<Self, Self::Error> {
        match state.0.len() {
            0 | Self::BINS => Ok(ScoreHistogram { counts: state.0 }),
            _ => Err(ProgressiveError::Length),
        }
    }
}

/// Log loss and calibration of probabilities that were predicted before their labels were known. 256 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    count: u64,
    log_loss_sum: f64,
    bins: [CalibrationBin; Progress::BINS],
}

/// The predictions within one tenth of [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Number of predictions.
    pub count: u64,
    /// Number of predictions with a positive label.
    pub positives: u64,
    /// Sum of the predicted probabilities; divided by `count`, the mean prediction.
    pub probability_sum: f64,
}

impl Progress {
    /// Bins of equal width over [0, 1]; 1 itself falls into the last.
    pub const BINS: usize = 10;

    /// Records the log-odds, finite, of a probability that was predicted before the label was known.
    pub fn record(&mut self, logit: f32, positive: bool) {
        let logit = f64::from(logit);
        let probability = sigmoid(logit);
        self.count += 1;
        self.log_loss_sum += log_loss(logit, positive);
        let bin = &mut self.bins[((probability * Self::BINS as f64) as usize).min(Self::BINS - 1)];
        bin.count += 1;
        bin.positives += u64::from(positive);
        bin.probability_sum += probability;
    }

    /// Number of recorded labels.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean log loss in nats; `None` before the first label. A constant prediction of one half scores `ln 2 = 0.693`.
    #[must_use]
    pub fn log_loss(&self) -> Option<f64> {
        (self.count > 0).then(|| self.log_loss_sum / self.count as f64)
    }

    /// Expected calibration error in [0, 1]: `sum_b (n_b / n) |positives_b / n_b - mean probability_b|`; `None` before
    /// the first label.
    ///
    /// Source: Naeini, Cooper & Hauskrecht, *Obtaining Well Calibrated Probabilities Using Bayesian Binning*, AAAI
    /// 2015.
    #[must_use]
    pub fn ece(&self) -> Option<f64> {
        let gaps: f64 = self.bins.iter().map(|bin| (bin.positives as f64 - bin.probability_sum).abs()).sum();
        (self.count > 0).then(|| gaps / self.count as f64)
    }

    /// The reliability diagram, from probability 0 to 1.
    #[must_use]
    pub fn bins(&self) -> &[CalibrationBin; Progress::BINS] {
        &self.bins
    }

    /// Adds the records of another one. Sums of floats depend on the order, so callers merge in a fixed order.
    pub fn merge(&mut self, other: &Progress) {
        self.count += other.count;
        self.log_loss_sum += other.log_loss_sum;
        for (ours, theirs) in self.bins.iter_mut().zip(&other.bins) {
            ours.count += theirs.count;
            ours.positives += theirs.positives;
            ours.probability_sum += theirs.probability_sum;
        }
    }
}

#[cfg(test)]
mod tests;
