//! Columns brought to one scale, by statistics that outliers do not move.
//!
//! Invariant: a scaled value is finite and at most [`LIMIT`] in size; scaling and its inverse undo each other for all
//! values within that. Columns whose values are all equal have no scale and take no part in a fit.

use serde::{Deserialize, Serialize};

/// Beyond so many interquartile ranges all values are alike.
pub(super) const LIMIT: f64 = 1e6;
/// The noise's region is no wider than this in any column, in interquartile ranges.
const REGION_MAX: f64 = 50.0;

/// Where the middle of a column is, and how wide it is; in the column's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The median.
    pub center: f64,
    /// The interquartile range, or what stands for it.
    pub width: f64,
}

impl Scale {
    /// The scale of finite values; `None` when they are all equal.
    ///
    /// The width is the interquartile range, but at least a twentieth of what nine in ten rows span (where most values
    /// are equal, and few are not), or of what all span where that is nothing.
    pub(super) fn of(values: &[f64]) -> Option<Scale> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        // Halves first: the difference of two finite numbers may not be finite.
        let half = |low: f64, high: f64| 0.5 * quantile(&sorted, high) - 0.5 * quantile(&sorted, low);
        let width = (2.0 * half(0.25, 0.75)).max(0.1 * half(0.05, 0.95));
        let width = if width > 0.0 { width } else { 0.1 * half(0.0, 1.0) };
        (width > 0.0 && width.is_normal()).then(|| Scale { center: quantile(&sorted, 0.5), width })
    }

    pub(super) fn scaled(&self, value: f64) -> f64 {
        ((0.5 * value - 0.5 * self.center) / (0.5 * self.width)).clamp(-LIMIT, LIMIT)
    }

    pub(super) fn unscaled(&self, value: f64) -> f64 {
        self.center + self.width * value
    }
}

/// Linear between order statistics, `(n - 1) p` from the lowest.
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let place = (sorted.len().saturating_sub(1)) as f64 * probability;
    let (low, share) = (place.floor() as usize, place.fract());
    let (a, b) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
    a * (1.0 - share) + b * share
}

/// `ln` of the density of noise that is uniform over the bounding region of scaled columns.
///
/// A side is no longer than [`REGION_MAX`], so that one value far away does not thin out the noise everywhere; outside of
/// the region the density is the same, as in Coretto and Hennig, *Robust improper maximum likelihood*, JASA 2016.
pub(super) fn log_noise(columns: &[Vec<f64>]) -> f64 {
    columns
        .iter()
        .map(|column| {
            let (low, high) = column
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
            // The sample's range is on average this much shorter than a uniform distribution's.
            let rows = column.len() as f64;
            -((high - low) * (rows + 1.0) / (rows - 1.0).max(1.0)).clamp(1e-6, REGION_MAX).ln()
        })
        .sum()
}
