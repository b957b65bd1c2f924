//! Baseline of popularity: positive interactions per item, for all time or with decay.
//!
//! Invariant: every positive row counts one, whatever its kind; with decay a count halves in a half-life.

use super::ranker::Ranker;
use crate::domain::interactions::Signals;
use crate::domain::time::Millis;
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;

/// A ranker by counts of positive interactions.
pub struct Popularity<'a> {
    log: &'a Log,
    signals: Signals,
    half_life_ms: Option<i64>,
    /// By item: the count, scaled to the instant `origin`.
    counts: Vec<f64>,
    origin: Millis,
}

impl<'a> Popularity<'a> {
    /// A ranker with zero counts; without a half-life counts never decay.
    #[must_use]
    pub fn new(log: &'a Log, signals: Signals, half_life_ms: Option<i64>) -> Popularity<'a> {
        let origin = log.rows.first().map_or(Millis(0), |row| row.at);
        Popularity { log, signals, half_life_ms, counts: vec![0.0; log.items.len()], origin }
    }
}

impl Ranker for Popularity<'_> {
    fn name(&self) -> &'static str {
        if self.half_life_ms.is_some() { "popularity_decayed" } else { "popularity" }
    }

    fn begin(&mut self, now: Millis, _: &[Edge]) {
        let Some(half_life) = self.half_life_ms else { return };
        // Counts are relative to a moving origin: decay costs nothing per step, and nothing overflows.
        let ahead = now.since(self.origin) as f64 / half_life as f64;
        if ahead > 32.0 {
            let fade = (-ahead).exp2();
            for count in &mut self.counts {
                *count *= fade;
            }
            self.origin = now;
        }
    }

    fn scores(&mut self, _: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>) {
        let fade = self.half_life_ms.map_or(1.0, |half| (-(now.since(self.origin) as f64) / half as f64).exp2());
        out.clear();
        out.extend(candidates.iter().map(|item| (self.counts[*item as usize] * fade) as f32));
    }

    fn learn(&mut self, index: usize) {
        let row = &self.log.rows[index];
        if row.signal(&self.signals, !self.log.has_presence).is_some_and(|signal| signal.positive) {
            let ahead = self.half_life_ms.map_or(0.0, |half| row.at.since(self.origin) as f64 / half as f64);
            self.counts[row.item as usize] += ahead.exp2();
        }
    }
}
