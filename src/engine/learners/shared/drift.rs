//! Concept drift detection: a Page-Hinkley test on a prequential loss, in units of the loss's own standard deviation.
//!
//! Invariant: the state has constant size; an alarm resets it. Losses are finite.
//! Source: Page, *Continuous inspection schemes*, Biometrika 1954; for streams: Gama et al., *A survey on concept drift
//! adaptation*, ACM Computing Surveys 2014. A walk that falls by `TOLERANCE` per step climbs above its minimum by `h`
//! with a probability of about `exp(-2 TOLERANCE h)`; the thresholds follow from this.

use serde::{Deserialize, Serialize};

/// Losses above the mean by less than this many standard deviations are not drift.
const TOLERANCE: f32 = 0.15;

/// Threshold for the losses of one user. A false alarm has a probability of about 1 in 10,000 for each climb of the
/// walk above its minimum.
pub(crate) const ONE_USER: f32 = 30.0;

/// Threshold for the losses of all users together: there are many more of them, so false alarms are more often possible.
pub(crate) const ALL_USERS: f32 = 120.0;

/// Losses before the first possible alarm, while mean and deviation are unknown.
const WARM_UP: u32 = 30;

/// Window of the running mean and deviation, in losses.
const MEMORY: u32 = 5_000;

/// State of a Page-Hinkley test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PageHinkley {
    count: u32,
    mean: f32,
    variance: f32,
    /// Height of the walk above its minimum.
    excess: f32,
    alarms: u32,
}

impl PageHinkley {
    /// Learns a loss, in nats; returns whether it raises an alarm at this threshold. A loss that is not finite is
    /// ignored.
    pub fn learn(&mut self, loss: f32, threshold: f32) -> bool {
        if !loss.is_finite() {
            return false;
        }
        self.count = self.count.saturating_add(1);
        let difference = loss - self.mean;
        let share = 1.0 / self.count.min(MEMORY) as f32;
        self.mean += difference * share;
        self.variance += (difference * (loss - self.mean) - self.variance) * share;
        if self.count <= WARM_UP {
            return false;
        }
        let deviation = self.variance.sqrt().max(1e-3);
        self.excess = (self.excess + difference / deviation - TOLERANCE).max(0.0);
        let alarm = self.excess > threshold;
        if alarm {
            *self = PageHinkley { alarms: self.alarms.saturating_add(1), ..PageHinkley::default() };
        }
        alarm
    }

    /// Number of alarms so far.
    #[must_use]
    pub(crate) fn alarms(&self) -> u32 {
        self.alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses of a predictor that says 0.8 and is right with probability `right`, from a seeded hash.
    fn losses(right: f32, n: u32, seed: u32) -> impl Iterator<Item = f32> {
        (0..n).map(move |k| {
            let hash = xxhash_rust::xxh3::xxh3_64(&(u64::from(seed) << 32 | u64::from(k)).to_le_bytes());
            if (hash % 1_000) as f32 / 1_000.0 < right { 0.223 } else { 1.609 }
        })
    }

    #[test]
    fn a_change_of_taste_is_noticed_and_steadiness_is_not() {
        let (mut noticed, mut false_alarms) = (0, 0);
        for seed in 0..100 {
            let mut detector = PageHinkley::default();
            false_alarms += losses(0.8, 500, seed).filter(|loss| detector.learn(*loss, ONE_USER)).count();
            // From now on it is wrong four times out of five.
            let wrong = losses(0.2, 60, seed + 1_000).map(|loss| detector.learn(loss, ONE_USER));
            noticed += usize::from(wrong.fold(false, |any, alarm| any | alarm));
        }
        assert!(noticed >= 95 && false_alarms <= 3, "{noticed} noticed, {false_alarms} false");
    }

    #[test]
    fn a_long_quiet_stream_raises_no_alarm_for_everybody() {
        let mut detector = PageHinkley::default();
        assert!(
            !losses(0.8, 200_000, 7).map(|loss| detector.learn(loss, ALL_USERS)).fold(false, |any, alarm| any | alarm)
        );
        assert!(
            losses(0.6, 2_000, 8).map(|loss| detector.learn(loss, ALL_USERS)).fold(false, |any, alarm| any | alarm)
        );
    }
}
