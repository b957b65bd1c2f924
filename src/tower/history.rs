//! What is said of a history beside its items: how long ago each step was, and how many there were of each sign.
//!
//! Invariant: only steps before `now` come in, and nothing here depends on how many places are empty.

use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use crate::engine::tower::Sign;

/// Numbers that say how long ago a step was.
pub const GAP_FEATURES: usize = 6;

/// Numbers that sum up a history.
pub const SUMMARY: usize = 7;

/// How long ago a step was: `exp(-gap / t)` for `t` of ten minutes, two hours, a day and a week; `ln(1 + gap in days)`;
/// `exp(-rank / 8)`, the newest step having rank 0.
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

/// Sums up a history: `ln(1 + n)` of the negative, neutral and positive steps; `(positive + 1) / (positive + negative +
/// 2)`; `exp(-gap / t)` of the last step for `t` of an hour and a day; 1 where there is no step.
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

/// Place of a sign in the tables: negative, neutral, positive.
#[must_use]
pub fn sign_place(sign: Sign) -> usize {
    match sign {
        Sign::Negative => 0,
        Sign::Neutral => 1,
        Sign::Positive => 2,
    }
}
