//! User similarity: cosines of their visits and of their topic weights.
//!
//! Invariant: each cosine is in [0, 1] and symmetric; it is 0 where one of the users has nothing to compare.
//! Deliberately absent: the choice of users to compare, and their names.

use std::sync::Arc;

use super::UserState;
use crate::domain::ids::{ItemId, TopicId};
use crate::domain::time::Millis;
use crate::engine::settings::LearnSettings;

/// The part of a user's state that similarity compares, at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tastes {
    /// Damped decayed visit counts, `ln(1 + n)`, of unit length, by item.
    visits: Vec<(ItemId, f32)>,
    /// Topic weights of unit length, by topic.
    topics: Vec<(TopicId, f32)>,
}

/// Cosines of two users.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Likeness {
    /// Cosine of the damped decayed visit counts.
    pub visits: f32,
    /// Cosine of the topic weights.
    pub topics: f32,
}

/// A question of one user to all others.
#[derive(Clone, Debug)]
pub struct LikenessQuestion {
    /// The user to compare with.
    pub tastes: Arc<Tastes>,
    /// The instant of the comparison.
    pub now: Millis,
}

impl Tastes {
    /// The cosines of two users.
    #[must_use]
    pub fn likeness(&self, other: &Tastes) -> Likeness {
        Likeness { visits: cosine(&self.visits, &other.visits), topics: cosine(&self.topics, &other.topics) }
    }
}

impl UserState {
    /// What similarity compares of this user at `now`.
    #[must_use]
    pub fn tastes(&self, now: Millis, settings: &LearnSettings) -> Tastes {
        let visits = self.visits.recent().iter().map(|visit| (visit.item, visit.weight(now).ln_1p()));
        let topics = self.topics.all(now, settings.topic_decay()).map(|(topic, weight)| (topic, weight as f32));
        Tastes { visits: unit(visits.collect()), topics: unit(topics.collect()) }
    }
}

/// Sorts by id and scales to unit length; empty for zeros.
fn unit<T: Ord + Copy>(mut numbers: Vec<(T, f32)>) -> Vec<(T, f32)> {
    numbers.retain(|(_, number)| *number > 0.0);
    numbers.sort_unstable_by_key(|(id, _)| *id);
    let length = numbers.iter().map(|(_, number)| number * number).sum::<f32>().sqrt();
    numbers.iter_mut().for_each(|(_, number)| *number /= length);
    numbers
}

/// The product of two sparse vectors that are sorted by id.
fn cosine<T: Ord>(a: &[(T, f32)], b: &[(T, f32)]) -> f32 {
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    while let (Some((x, of_a)), Some((y, of_b))) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                sum += of_a * of_b;
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_compare_directions() {
        let topics = |numbers: &[(u32, f32)]| {
            let topics = unit(numbers.iter().map(|(topic, weight)| (TopicId(*topic), *weight)).collect());
            Tastes { visits: Vec::new(), topics }
        };
        for (a, b, expected) in [
            (topics(&[(1, 0.5), (2, 0.5)]), topics(&[(2, 0.1), (1, 0.1)]), 1.0),
            (topics(&[(1, 0.3)]), topics(&[(2, 0.3)]), 0.0),
            (topics(&[(1, 3.0), (3, 4.0)]), topics(&[(3, 1.0), (4, 0.0)]), 0.8),
            (topics(&[]), topics(&[(3, 1.0)]), 0.0),
            (topics(&[(1, 0.0)]), topics(&[(1, 1.0)]), 0.0),
        ] {
            for likeness in [a.likeness(&b), b.likeness(&a)] {
                assert!((likeness.topics - expected).abs() < 1e-6, "{a:?} {b:?}: {likeness:?}");
                assert_eq!(likeness.visits, 0.0);
            }
        }
    }
}
