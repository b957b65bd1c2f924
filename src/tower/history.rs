//! History features beside the item vectors: age and rank of each step, and counts per sign.
//!
//! Invariant: callers pass only steps before `now`, and padding never changes a feature.

use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use crate::engine::two_tower::Sign;

/// Number of features for the age of a step.
pub const GAP_FEATURES: usize = 6;

/// Number of features that summarise a history.
pub const SUMMARY: usize = 7;

/// Features of a step's age: `exp(-gap / t)` for `t` of ten minutes, two hours, a day and a week; `ln(1 + gap in
/// days)`; `exp(-rank / 8)`, where the newest step has rank 0.
#[must_use]
pub fn gap_features(gap_ms: i64, rank: usize) -> [f32; GAP_FEATURES] {
    let gap = gap_ms.max(0) as f32;
    let faded = |span_ms: i64| (-gap / span_ms as f32).exp();
    [
        faded(10 * MINUTE_MS),
        faded(2 * HOUR_MS),
        faded(DAY_MS),
        faded(7 * DAY_MS),
        (gap / DAY_MS as f32).ln_1p(),
        (-(rank as f32) / 8.0).exp(),
    ]
}

/// Features of a whole history: `ln(1 + n)` of the negative, neutral and positive steps; `(positive + 1) / (positive +
/// negative + 2)`; `exp(-gap / t)` of the last step for `t` of an hour and a day; 1 for an empty history.
#[must_use]
pub fn summary(counts: [u32; 3], last: Option<Millis>, now: Millis) -> [f32; SUMMARY] {
    let [negative, neutral, positive] = counts.map(|count| count as f32);
    let faded = |span_ms: i64| last.map_or(0.0, |last| (-(now.since(last) as f32) / span_ms as f32).exp());
    [
        negative.ln_1p(),
        neutral.ln_1p(),
        positive.ln_1p(),
        (positive + 1.0) / (positive + negative + 2.0),
        faded(HOUR_MS),
        faded(DAY_MS),
        f32::from(u8::from(last.is_none())),
    ]
}

/// Index of a sign in the weights: negative 0, neutral 1, positive 2.
#[must_use]
pub fn sign_place(sign: Sign) -> usize {
    match sign {
        Sign::Negative => 0,
        Sign::Neutral => 1,
        Sign::Positive => 2,
    }
}
