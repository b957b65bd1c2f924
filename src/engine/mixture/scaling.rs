//! Scaling of columns: by default robust, by statistics that outliers hardly influence.
//!
//! Invariant: a scaled value is finite and at most [`LIMIT`] in magnitude; within that, unscaling inverts scaling.
//! Constant columns have no scale and take no part in a fit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bound of scaled values, in interquartile ranges; values beyond it are clamped.
pub(super) const LIMIT: f64 = 1e6;
/// Maximum side of the noise's region, in interquartile ranges.
const REGION_MAX: f64 = 50.0;

/// How columns are brought to one scale before a fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ClusterScaling")]
pub enum Scaling {
    /// Each column by its median and interquartile range.
    #[default]
    Robust,
    /// Each column by its mean and standard deviation.
    Standard,
    /// All columns by the width of the widest one, so that they keep their proportions to each other.
    None,
}

impl Scaling {
    /// The scale of each column; `None` for a column whose values are all equal.
    pub(super) fn scales(self, columns: &[Vec<f64>]) -> Vec<Option<Scale>> {
        match self {
            Scaling::Robust => columns.iter().map(|column| Scale::of(column)).collect(),
            Scaling::Standard => columns.iter().map(|column| Scale::standard(column)).collect(),
            Scaling::None => {
                let own: Vec<Option<Scale>> = columns.iter().map(|column| Scale::of(column)).collect();
                let widest = own.iter().flatten().map(|scale| scale.width).fold(0.0, f64::max);
                own.into_iter().map(|scale| scale.map(|scale| Scale { width: widest, ..scale })).collect()
            }
        }
    }
}

/// Location and width of a column, in the column's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Median of the column, or its mean under [`Scaling::Standard`].
    pub(crate) center: f64,
    /// Interquartile range or its substitute, or the standard deviation under [`Scaling::Standard`].
    pub width: f64,
}

impl Scale {
    /// The scale of finite values; `None` when they are all equal.
    ///
    /// The width is the interquartile range, but at least a twentieth of the range of the middle 90 % of rows. This
    /// matters where most values are equal. If that range is 0, the width is a twentieth of the full range.
    pub(super) fn of(values: &[f64]) -> Option<Scale> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        // Halves first: the difference of two finite numbers may overflow.
        let half = |low: f64, high: f64| 0.5 * quantile(&sorted, high) - 0.5 * quantile(&sorted, low);
        let width = (2.0 * half(0.25, 0.75)).max(0.1 * half(0.05, 0.95));
        let width = if width > 0.0 { width } else { 0.1 * half(0.0, 1.0) };
        (width > 0.0 && width.is_normal()).then(|| Scale { center: quantile(&sorted, 0.5), width })
    }

    /// Mean and standard deviation of finite values; `None` when they are all equal.
    fn standard(values: &[f64]) -> Option<Scale> {
        Scale::of(values)?;
        // Divided first: the sum of finite numbers may overflow.
        let rows = values.len() as f64;
        let center: f64 = values.iter().map(|value| value / rows).sum();
        let largest = values.iter().map(|value| (value - center).abs()).fold(0.0, f64::max);
        let squares: f64 = values.iter().map(|value| ((value - center) / largest).powi(2) / rows).sum();
        let width = largest * squares.sqrt();
        (width > 0.0 && width.is_normal()).then_some(Scale { center, width })
    }

    pub(super) fn scaled(&self, value: f64) -> f64 {
        ((0.5 * value - 0.5 * self.center) / (0.5 * self.width)).clamp(-LIMIT, LIMIT)
    }

    pub(super) fn unscaled(&self, value: f64) -> f64 {
        self.center + self.width * value
    }
}

/// Quantile by linear interpolation between order statistics, at `(n - 1) p`.
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let place = (sorted.len().saturating_sub(1)) as f64 * probability;
    let (low, share) = (place.floor() as usize, place.fract());
    let (a, b) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
    a * (1.0 - share) + b * share
}

/// Log-density of noise that is uniform over the bounding box of scaled columns.
///
/// A side is at most [`REGION_MAX`], so that one distant value does not dilute the noise everywhere. Outside of the box
/// the density is equal, as in Coretto and Hennig, *Robust improper maximum likelihood*, JASA 2016.
pub(super) fn log_noise(columns: &[Vec<f64>]) -> f64 {
    columns
        .iter()
        .map(|column| {
            let (low, high) = column
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
            // The range of a sample underestimates that of a uniform distribution by this factor.
            let rows = column.len() as f64;
            -((high - low) * (rows + 1.0) / (rows - 1.0).max(1.0)).clamp(1e-6, REGION_MAX).ln()
        })
        .sum()
}
