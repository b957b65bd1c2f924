//! Progressive AUC, calibration and log loss against direct computation.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Reference: compares every positive with every negative.
fn auc_naive(pairs: &[(f32, bool)]) -> Option<f64> {
    let (mut won, mut all) = (0.0, 0.0);
    for positive in pairs.iter().filter(|pair| pair.1) {
        for negative in pairs.iter().filter(|pair| !pair.1) {
            all += 1.0;
            won += if positive.0 > negative.0 {
                1.0
            } else if positive.0 == negative.0 {
                0.5
            } else {
                0.0
            };
        }
    }
    (all > 0.0).then(|| won / all)
}

#[test]
fn labels_and_log_loss_are_of_the_kept_scores() {
    let mut tracker = RecentAuc::new(3);
    assert_eq!((tracker.labels(), tracker.log_loss()), ((0, 0), None));
    for (score, positive) in [(9.0, false), (0.0, true), (2.0, false), (0.0, true)] {
        tracker.record(score, positive);
    }
    assert_eq!(tracker.labels(), (2, 1), "the first one is forgotten");
    let expected = (2.0 * std::f64::consts::LN_2 + log_loss(2.0, false)) / 3.0;
    assert!((f64::from(tracker.log_loss().unwrap()) - expected).abs() < 1e-6);
    let mut histogram = ScoreHistogram::default();
    assert_eq!(histogram.labels(), (0, 0));
    for (logit, positive) in [(0.5, true), (-30.0, false), (30.0, true)] {
        histogram.record(logit, positive);
    }
    assert_eq!(histogram.labels(), (2, 1));
}

/// Coarse scores, so that there are ties.
fn any_pairs(count: usize) -> impl Strategy<Value = Vec<(f32, bool)>> {
    let score = prop_oneof![(-8..8_i8).prop_map(|n| f32::from(n) / 4.0), -9.0..9.0_f32];
    vec((score, any::<bool>()), 0..count)
}

proptest! {
    /// The sorted computation counts the pairs of the naive one.
    #[test]
    fn auc_agrees_with_all_pairs(pairs in any_pairs(120)) {
        let (scores, labels): (Vec<f32>, Vec<bool>) = pairs.iter().copied().unzip();
        prop_assert_eq!(roc_auc(&scores, &labels), auc_naive(&pairs));
    }

    /// The tracker holds the last `capacity` scores after any input, and a snapshot round trip keeps them.
    #[test]
    fn the_recent_are_the_last(pairs in any_pairs(300), capacity in 1..130_u32, more in any_pairs(80)) {
        let mut tracker = RecentAuc::new(capacity);
        for (index, (score, positive)) in pairs.iter().enumerate() {
            tracker.record(*score, *positive);
            prop_assert!(tracker.scores.capacity() <= capacity as usize);
            let last = &pairs[(index + 1).saturating_sub(capacity as usize)..=index];
            prop_assert!(tracker.pairs().eq(last.iter().copied()));
            if index % 16 == 0 {
                prop_assert_eq!(tracker.auc(), auc_naive(last).map(|auc| auc as f32));
            }
        }
        let mut restored: RecentAuc = serde_json::from_str(&serde_json::to_string(&tracker).unwrap()).unwrap();
        for (score, positive) in more {
            prop_assert_eq!(&restored, &tracker);
            tracker.record(score, positive);
            restored.record(score, positive);
        }
    }

    /// The histogram's error is at most half the pairs within one bin, and merging equals counting together.
    #[test]
    fn the_histogram_is_near_and_merges(pairs in any_pairs(200), cut in 0..200_usize) {
        let mut histograms: [ScoreHistogram; 3] = Default::default();
        for (index, (logit, positive)) in pairs.iter().enumerate() {
            histograms[0].record(*logit, *positive);
            histograms[if index < cut { 1 } else { 2 }].record(*logit, *positive);
        }
        let [whole, mut left, right] = histograms;
        left.merge(&right);
        prop_assert_eq!(left.count(), pairs.len() as u64);
        prop_assert!(left == whole || pairs.is_empty());
        let (Some(near), Some(exact)) = (whole.auc(), auc_naive(&pairs)) else {
            prop_assert_eq!(whole.auc(), auc_naive(&pairs));
            return Ok(());
        };
        let meet: u64 = whole.counts.iter().map(|bin| bin[0] * bin[1]).sum();
        let (negatives, positives) =
            whole.counts.iter().fold((0, 0), |sum, bin| (sum.0 + bin[0], sum.1 + bin[1]));
        prop_assert!((near - exact).abs() <= 0.5 * meet as f64 / (negatives * positives) as f64 + 1e-12);
    }

    /// A ROC curve rises from (0, 0) to (1, 1), and its area is the AUC.
    #[test]
    fn a_roc_curve_rises_and_has_the_area_of_the_auc(pairs in vec((-9_i8..9, any::<bool>()), 0..300)) {
        let (mut recent, mut histogram) = (RecentAuc::default(), ScoreHistogram::default());
        for (score, positive) in &pairs {
            recent.record(f32::from(*score), *positive);
            histogram.record(f32::from(*score), *positive);
        }
        let figures = [(recent.roc(), recent.auc().map(f64::from)), (histogram.roc(), histogram.auc())];
        for (curve, auc) in figures {
            prop_assert_eq!(curve.is_empty(), auc.is_none());
            let Some(auc) = auc else { continue };
            prop_assert_eq!((curve[0], curve[curve.len() - 1]), ([0.0, 0.0], [1.0, 1.0]));
            prop_assert!(curve.windows(2).all(|two| two[0][0] <= two[1][0] && two[0][1] <= two[1][1]));
            let area = |two: &[RocPoint]| f64::from(two[1][0] - two[0][0]) * f64::from(two[1][1] + two[0][1]) / 2.0;
            prop_assert!((curve.windows(2).map(area).sum::<f64>() - auc).abs() < 1e-5);
        }
    }

    /// All figures are finite and in their ranges, for any finite logits.
    #[test]
    fn progress_stays_in_range(pairs in vec((any::<f32>().prop_filter("finite", |z| z.is_finite()), any::<bool>()), 1..60)) {
        let mut progress = Progress::default();
        let mut halves = [Progress::default(), Progress::default()];
        for (index, (logit, positive)) in pairs.iter().enumerate() {
            progress.record(*logit, *positive);
            halves[index % 2].record(*logit, *positive);
        }
        let [mut merged, second] = halves;
        merged.merge(&second);
        prop_assert_eq!(merged.count(), progress.count());
        prop_assert!(progress.log_loss().unwrap() >= 0.0 && progress.log_loss().unwrap().is_finite());
        prop_assert!((0.0..=1.0 + 1e-12).contains(&progress.ece().unwrap()));
        prop_assert!((merged.ece().unwrap() - progress.ece().unwrap()).abs() < 1e-9);
        let json = serde_json::to_string(&progress).unwrap();
        prop_assert_eq!(serde_json::from_str::<Progress>(&json).unwrap().count(), progress.count());
    }
}

#[test]
fn a_roc_curve_has_its_corners_only() {
    let curve = |pairs: &[(f32, bool)]| {
        let mut recent = RecentAuc::default();
        pairs.iter().for_each(|(score, positive)| recent.record(*score, *positive));
        recent.roc()
    };
    for (name, pairs, expected) in [
        ("nothing", &[][..], &[][..]),
        ("one label", &[(1.0, true), (2.0, true)], &[]),
        ("right", &[(1.0, false), (2.0, true), (3.0, true)], &[[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        ("wrong", &[(1.0, true), (2.0, false)], &[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]),
        ("all tied", &[(1.0, true), (1.0, false)], &[[0.0, 0.0], [1.0, 1.0]]),
        ("minus zero ties with zero", &[(-0.0, true), (0.0, false)], &[[0.0, 0.0], [1.0, 1.0]]),
    ] {
        assert_eq!(curve(pairs), expected, "{name}");
    }
}

#[test]
fn auc_edges() {
    for (name, scores, labels, expected) in [
        ("nothing", &[][..], &[][..], None),
        ("only positives", &[1.0, 2.0], &[true, true], None),
        ("only negatives", &[1.0], &[false], None),
        ("right", &[1.0, 2.0], &[false, true], Some(1.0)),
        ("wrong", &[2.0, 1.0], &[false, true], Some(0.0)),
        ("all tied", &[1.0; 4], &[false, true, true, false], Some(0.5)),
        ("minus zero ties with zero", &[-0.0, 0.0], &[false, true], Some(0.5)),
        ("one of two pairs", &[1.0, 2.0, 3.0], &[true, false, true], Some(0.5)),
        ("a tie and a win", &[1.0, 1.0, 0.0], &[true, false, false], Some(0.75)),
        ("more scores than labels", &[1.0, 2.0, 0.0], &[false, true], Some(1.0)),
    ] {
        assert_eq!(roc_auc(scores, labels), expected, "{name}");
    }
}

#[test]
fn bins_cover_all_logits() {
    for (name, logit, bin) in [
        ("far below", -1e30, 0),
        ("lowest edge", -8.0, 0),
        ("just below zero", -0.001, 255),
        ("zero", 0.0, 256),
        ("one bin up", 0.031_25, 257),
        ("highest edge", 8.0, 511),
        ("far above", 1e30, 511),
    ] {
        assert_eq!(ScoreHistogram::bin(logit), bin, "{name}");
    }
}

#[test]
fn log_loss_and_sigmoid_at_the_ends() {
    for (name, logit, positive, loss) in [
        ("a coin", 0.0, true, std::f64::consts::LN_2),
        ("surely right", 800.0, true, 0.0),
        ("surely wrong", -800.0, true, 800.0),
        ("surely wrong, the other way", 800.0, false, 800.0),
        ("nearly right keeps its digits", 40.0, true, 4.248_354_255_291_589e-18),
    ] {
        assert!((log_loss(logit, positive) - loss).abs() <= 1e-12 * loss, "{name}: {}", log_loss(logit, positive));
    }
    assert_eq!((sigmoid(-800.0), sigmoid(0.0), sigmoid(800.0)), (0.0, 0.5, 1.0));
}

#[test]
fn calibration_by_hand() {
    let mut progress = Progress::default();
    assert_eq!((progress.log_loss(), progress.ece()), (None, None));
    // Four predictions of 0.75 with three positives: calibrated. Then one of 1/2 that fails: 0.5 off, weight 1/5.
    let logit = 3.0_f32.ln();
    for positive in [true, true, true, false] {
        progress.record(logit, positive);
    }
    assert!(progress.ece().unwrap() < 1e-6);
    progress.record(0.0, false);
    assert!((progress.ece().unwrap() - 0.1).abs() < 1e-6);
    assert_eq!((progress.bins()[7].count, progress.bins()[5].count), (4, 1));
    let loss = (3.0 * (4.0_f64 / 3.0).ln() + 4.0_f64.ln() + 2.0_f64.ln()) / 5.0;
    assert!((progress.log_loss().unwrap() - loss).abs() < 1e-6);
}

#[test]
fn a_broken_snapshot_is_refused() {
    for (name, text) in [
        ("no capacity", r#"{"capacity":0,"scores":[],"labels":[]}"#),
        ("more than fit", r#"{"capacity":1,"scores":[1,2],"labels":[0]}"#),
        ("labels missing", r#"{"capacity":9,"scores":[1,2],"labels":[]}"#),
        ("overflowing number", r#"{"capacity":9,"scores":[1e99],"labels":[0]}"#),
    ] {
        assert!(serde_json::from_str::<RecentAuc>(text).is_err(), "{name}");
    }
    assert!(serde_json::from_str::<ScoreHistogram>("[[1,2]]").is_err());
}
