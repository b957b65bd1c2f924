//! Has the world changed? Page-Hinkley on a progressive loss.
//!
//! Invariant: the state is a few numbers; after an alarm it starts afresh. Losses are finite.
//! Source: Page, *Continuous inspection schemes*, Biometrika 1954; as used on streams: Gama et al., *A survey on concept
//! drift adaptation*, ACM Computing Surveys 2014.

use serde::{Deserialize, Serialize};

/// Losses above the mean by less than this are no drift; nats.
const TOLERANCE: f32 = 0.1;

/// The alarm is raised when the excess has added up to this much; nats.
const THRESHOLD: f32 = 12.0;

/// Losses before which no alarm is raised.
const WARM_UP: u32 = 30;

/// The detector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PageHinkley {
    count: u32,
    mean: f32,
    excess: f32,
    lowest: f32,
    alarms: u32,
}

impl PageHinkley {
    /// One more loss, in nats. Is this an alarm?
    pub fn learn(&mut self, loss: f32) -> bool {
        if !loss.is_finite() {
            return false;
        }
        self.count = self.count.saturating_add(1);
        self.mean += (loss - self.mean) / self.count.min(10_000) as f32;
        self.excess += loss - self.mean - TOLERANCE;
        self.lowest = self.lowest.min(self.excess);
        let alarm = self.count > WARM_UP && self.excess - self.lowest > THRESHOLD;
        if alarm {
            *self = PageHinkley { alarms: self.alarms.saturating_add(1), ..PageHinkley::default() };
        }
        alarm
    }

    /// Alarms so far.
    #[must_use]
    pub fn alarms(&self) -> u32 {
        self.alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses of a calibrated predictor of probability `p`, by a seeded walk.
    fn losses(p: f32, n: u32, seed: u32) -> impl Iterator<Item = f32> {
        (0..n).map(move |k| {
            let hash = xxhash_rust::xxh3::xxh3_64(&(u64::from(seed) << 32 | u64::from(k)).to_le_bytes());
            if (hash % 1_000) as f32 / 1_000.0 < p { -p.ln() } else { -(1.0 - p).ln() }
        })
    }

    #[test]
    fn a_change_of_taste_is_noticed_and_steadiness_is_not() {
        let (mut noticed, mut false_alarms) = (0, 0);
        for seed in 0..100 {
            let mut detector = PageHinkley::default();
            false_alarms += losses(0.8, 500, seed).filter(|loss| detector.learn(*loss)).count();
            // Now it is wrong four times out of five.
            let wrong = losses(0.2, 60, seed + 1_000).map(|loss| if loss > 1.0 { 0.22 } else { 1.61 });
            noticed += usize::from(wrong.map(|loss| detector.learn(loss)).any(|alarm| alarm));
        }
        assert!(noticed >= 95 && false_alarms <= 5, "{noticed} noticed, {false_alarms} false");
    }
}
