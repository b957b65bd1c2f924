//! Prediction quality of log-odds against labels, and the calibration of log-odds.
//!
//! Invariant: sums run in the order of sorted scores, so equal scores give equal figures. Ties count half. An
//! undefined figure, such as an area with one outcome alone, is `None`.

use crate::tower::checkpoint::Quality;

const BINS: usize = 10;

/// Quality of log-odds `(n,)` against labels `(n,)`; rounded to six places.
#[must_use]
pub fn quality(log_odds: &[f32], liked: &[bool]) -> Quality {
    let positive = liked.iter().filter(|liked| **liked).count();
    let negative = liked.len() - positive;
    let mut order: Vec<usize> = (0..log_odds.len()).collect();
    order.sort_by(|a, b| log_odds[*b].total_cmp(&log_odds[*a]));
    let (mut hits, mut misses, mut area, mut precision) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for ties in order.chunk_by(|a, b| log_odds[*a] == log_odds[*b]) {
        let new = ties.iter().filter(|place| liked[**place]).count() as f64;
        let others = ties.len() as f64 - new;
        area += others * (hits + new / 2.0);
        (hits, misses) = (hits + new, misses + others);
        precision += new * hits / (hits + misses);
    }
    let both = positive > 0 && negative > 0;
    let mut loss = 0.0_f64;
    for (x, liked) in log_odds.iter().zip(liked) {
        let (x, y) = (f64::from(*x), f64::from(u8::from(*liked)));
        loss += x.max(0.0) - x * y + (-x.abs()).exp().ln_1p();
    }
    let bins = calibration_bins(log_odds, liked);
    let n = liked.len() as f64;
    let rounded = |sum: f64, n: f64| (n > 0.0).then(|| (sum / n * 1e6).round() / 1e6);
    Quality {
        rows: liked.len() as u64,
        roc_auc: rounded(area, positive as f64 * negative as f64),
        average_precision: rounded(precision, positive as f64).filter(|_| both),
        log_loss: rounded(loss, n),
        calibration_error: rounded(bins.iter().map(|bin| (bin.predicted - bin.liked as f64).abs()).sum(), n),
    }
}

/// Views whose predicted probabilities lie in one of ten ranges of equal width.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CalibrationBin {
    /// Sum of the predicted probabilities.
    pub predicted: f64,
    /// Number of liked views.
    pub liked: u64,
    /// Number of views.
    pub views: u64,
}

/// Sorts views into bins by the probability of their log-odds `(n,)`; labels are `(n,)`.
#[must_use]
pub fn calibration_bins(log_odds: &[f32], liked: &[bool]) -> [CalibrationBin; BINS] {
    let mut bins = [CalibrationBin::default(); BINS];
    for (x, liked) in log_odds.iter().zip(liked) {
        let p = 1.0 / (1.0 + (-f64::from(*x)).exp());
        let bin = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
        bin.predicted += p;
        bin.liked += u64::from(*liked);
        bin.views += 1;
    }
    bins
}

/// Slope and intercept of a logistic regression of labels on log-odds, by Newton's method with slight shrinkage to (1,
/// 0).
///
/// Source: Platt, *Probabilistic Outputs for Support Vector Machines*, 1999.
#[must_use]
pub fn calibration(log_odds: &[f32], liked: &[bool]) -> [f32; 2] {
    let (mut slope, mut intercept) = (1.0_f64, 0.0_f64);
    for _ in 0..25 {
        let (mut g, mut h) = ([slope - 1.0, intercept], [1.0, 0.0, 1.0]);
        for (x, liked) in log_odds.iter().zip(liked) {
            let x = f64::from(*x);
            let p = 1.0 / (1.0 + (-(slope * x + intercept)).exp());
            let (error, weight) = (p - f64::from(u8::from(*liked)), p * (1.0 - p));
            g = [g[0] + error * x, g[1] + error];
            h = [h[0] + weight * x * x, h[1] + weight * x, h[2] + weight];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        if !(step[0].is_finite() && step[1].is_finite()) {
            break;
        }
        (slope, intercept) = (slope - step[0].clamp(-2.0, 2.0), intercept - step[1].clamp(-4.0, 4.0));
        if step[0].abs() + step[1].abs() < 1e-9 {
            break;
        }
    }
    [slope.clamp(0.05, 20.0) as f32, intercept.clamp(-20.0, 20.0) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_example_are_those_by_hand() {
        let odds = [2.0, 1.0, 1.0, -1.0];
        let quality = quality(&odds, &[true, false, true, false]);
        // Pairs: (2 > 1), (2 > -1), (1 = 1) half, (1 > -1).
        assert_eq!(quality.roc_auc, Some(3.5 / 4.0));
        // The first hit at precision 1, the second within a tie of three rows with two hits.
        assert_eq!(quality.average_precision, Some(((1.0 + 2.0 / 3.0) / 2.0 * 1e6_f64).round() / 1e6));
    }

    #[test]
    fn one_outcome_has_a_loss_and_no_area() {
        for outcome in [true, false] {
            let found = quality(&[0.0, 1.0], &[outcome; 2]);
            assert_eq!((found.rows, found.roc_auc, found.average_precision), (2, None, None));
            assert!(found.log_loss.unwrap() > 0.0 && found.calibration_error.unwrap() > 0.0, "{found:?}");
        }
        assert_eq!(quality(&[], &[]), Quality::default());
    }

    #[test]
    fn calibration_finds_the_slope_and_intercept_with_which_outcomes_were_made() {
        let mut odds = Vec::new();
        let mut liked = Vec::new();
        for step in -20..=20 {
            let x = step as f32 / 5.0;
            let p = 1.0 / (1.0 + (-(0.5 * x - 1.0)).exp());
            for row in 0..1_000 {
                odds.push(x);
                liked.push((row as f32) < p * 1_000.0);
            }
        }
        let [slope, intercept] = calibration(&odds, &liked);
        assert!((slope - 0.5).abs() < 0.01 && (intercept + 1.0).abs() < 0.01, "{slope} {intercept}");
    }
}
