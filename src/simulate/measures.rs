//! Measurements of simulated people: four groups by the time on posts and on channels, and a time on the feed in which
//! three people are far from all others.
//!
//! Invariant: a person's values follow from the seed and the person's number alone.

use super::chance::{mixed, normal};

/// Mean and Cholesky factor `(l11, l21, l22)` of the covariance of each group: diag(2, 0.1), diag(0.1, 2),
/// [[2, -1.5], [-1.5, 2]] and diag(0.5, 0.5). The first two groups cross in their mean.
const GROUPS: [([f64; 2], [f64; 3]); 4] = [
    ([20.0, 20.0], [std::f64::consts::SQRT_2, 0.0, 0.316_227_766_016_837_94]),
    ([20.0, 20.0], [0.316_227_766_016_837_94, 0.0, std::f64::consts::SQRT_2]),
    ([25.0, 25.0], [std::f64::consts::SQRT_2, -1.060_660_171_779_821_2, 0.935_414_346_693_485_3]),
    ([16.0, 16.0], [std::f64::consts::FRAC_1_SQRT_2, 0.0, std::f64::consts::FRAC_1_SQRT_2]),
];

/// Numbers of the people who are far from all others in the time on the feed.
const FAR: [u64; 3] = [17, 71, 131];
/// Seconds on the feed: mean, standard deviation, and the distance of the people in [`FAR`].
const FEED: (f64, f64, f64) = (300.0, 10.0, 120.0);

/// Values of one person, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// The group that the person was drawn from, 0 to 3.
    pub group: usize,
    /// Time on a post.
    pub post: f64,
    /// Time on a channel.
    pub channel: f64,
    /// Time on the feed.
    pub feed: f64,
}

impl Measures {
    /// Values of the person with this number. Groups have equal shares.
    #[must_use]
    pub fn of(seed: u64, person: u64) -> Measures {
        // Three sums of four uniform numbers: close to normal up to three standard deviations.
        let draw = |purpose: u64| {
            let part = |part: u64| normal(mixed(seed, &[MEASURES, person, purpose, part]));
            (part(0) + part(1) + part(2)) / 3.0_f64.sqrt()
        };
        let group = (person % 4) as usize;
        let (mean, factor) = GROUPS[group];
        let (a, b) = (draw(0), draw(1));
        // Rounded to milliseconds, so that a file holds the value itself.
        let rounded = |value: f64| (value * 1e3).round() / 1e3;
        let far = if FAR.contains(&person) { FEED.2 } else { 0.0 };
        Measures {
            group,
            post: rounded(mean[0] + factor[0] * a),
            channel: rounded(mean[1] + factor[1] * a + factor[2] * b),
            // Within three standard deviations, so that no other person is far.
            feed: rounded(FEED.0 + FEED.1 * normal(mixed(seed, &[MEASURES, person, 2])).clamp(-3.0, 3.0) + far),
        }
    }

    /// The values by type of page.
    #[must_use]
    pub fn by_type(&self) -> [(&'static str, f64); 3] {
        [("post", self.post), ("channel", self.channel), ("feed", self.feed)]
    }
}

/// The purpose of these draws, apart from those of the network.
const MEASURES: u64 = 0x006d_6561_7375_7265;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_means_and_covariances_of_the_reference() {
        for (group, mean, covariance) in [
            (0, [20.0, 20.0], [2.0, 0.0, 0.1]),
            (1, [20.0, 20.0], [0.1, 0.0, 2.0]),
            (2, [25.0, 25.0], [2.0, -1.5, 2.0]),
            (3, [16.0, 16.0], [0.5, 0.0, 0.5]),
        ] {
            let all: Vec<Measures> = (0..40_000).map(|person| Measures::of(1, person)).collect();
            let own: Vec<[f64; 2]> =
                all.iter().filter(|one| one.group == group).map(|one| [one.post, one.channel]).collect();
            let n = own.len() as f64;
            assert_eq!(n, 10_000.0);
            let average = |of: &dyn Fn(&[f64; 2]) -> f64| own.iter().map(of).sum::<f64>() / n;
            let found = [average(&|one| one[0]), average(&|one| one[1])];
            let product = |i: usize, j: usize| average(&|one| (one[i] - found[i]) * (one[j] - found[j]));
            for (found, expected) in found.into_iter().zip(mean) {
                assert!((found - expected).abs() < 0.06, "group {group}: {found} {expected}");
            }
            for (found, expected) in [product(0, 0), product(0, 1), product(1, 1)].into_iter().zip(covariance) {
                assert!((found - expected).abs() < 0.1, "group {group}: {found} {expected}");
            }
        }
    }
}
