//! The feature vector of the blend: one number per feature on a log-odds scale, grouped by expert.
//!
//! Invariant: names and ranges are derived from the experts, in the order of [`Expert::ALL`]. Journal entries
//! hold this vector, so a change of its order or length is a change of the formats of journal and snapshots.
//! A feature without information is 0, or a constant that all candidates share.
//! Deliberately absent: computing features (`engine::experts`) and learning their weights (`engine::blend`).

use crate::domain::feeds::{Expert, for_each_expert};
use crate::engine::experts::{self, expertise::is_same};

pub(crate) use crate::engine::experts::FEATURES;
pub use crate::engine::experts::{Features, range};

/// The name and the expert of each feature, in the order of the vector. Features of one expert stand side by side.
pub const NAMES: [(&str, Expert); FEATURES] = {
    let mut all = [("", Expert::ALL[0]); FEATURES];
    let (mut expert, mut place) = (0, 0);
    while expert < Expert::ALL.len() {
        let mut at = 0;
        while at < experts::NAMES[expert].len() {
            all[place] = (experts::NAMES[expert][at], Expert::ALL[expert]);
            place += 1;
            at += 1;
        }
        expert += 1;
    }
    all
};

/// Places of features in the vector, for code outside of their expert.
pub mod at {
    use super::place;

    /// Log-odds of the online model.
    pub(crate) const ONLINE: usize = place("online");
    /// The person's weight of the item's topics.
    pub(crate) const TOPIC: usize = place("topic");
    /// The hyperbola of the item's age.
    pub(crate) const FRESHNESS: usize = place("freshness");
    /// Log-odds of the two-tower model.
    pub const TOWER: usize = place("tower");
}

/// The place of a feature in the vector; an unknown name does not compile.
const fn place(name: &str) -> usize {
    let mut place = 0;
    while place < FEATURES {
        if is_same(NAMES[place].0, name) {
            return place;
        }
        place += 1;
    }
    panic!("no feature has this name")
}

/// The share of each expert in a score, in the order of `Expert::ALL`.
pub type Shares = [f32; Expert::ALL.len()];

macro_rules! shares_by_expert {
    ($( $(#[cfg($only:meta)])? $Expert:ident $name:ident $doc:literal; )*) => {
        /// Sums the weighted features of each expert.
        #[inline]
        #[must_use]
        pub fn shares(weights: &Features, features: &Features) -> Shares {
            [$( $(#[cfg($only)])? share(const { range(Expert::$Expert) }, weights, features), )*]
        }
    };
}
for_each_expert!(shares_by_expert);

/// The weighted sum over one range. Inlined, so that the compiler knows the range: this runs for every candidate.
#[inline(always)]
fn share((begin, end): (usize, usize), weights: &Features, features: &Features) -> f32 {
    (begin..end).fold(0.0, |sum, k| sum + weights[k] * features[k])
}

/// Items that are new to a person and items that they visited have weights of their own: a feature means another thing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The person has no remembered visit to the item.
    New,
    /// The person visited the item.
    Seen,
}

impl Segment {
    /// The segment's place in a table of weights.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Segment::New => 0,
            Segment::Seen => 1,
        }
    }
}

/// The features of one candidate, and the segment whose weights they meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// In the order of [`NAMES`].
    pub features: Features,
    /// Selects the weights.
    pub(crate) segment: Segment,
}

impl Row {
    /// The row of an unknown item: all features are 0.
    pub(crate) const NOTHING: Row = Row { features: [0.0; FEATURES], segment: Segment::New };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_expert_has_its_range_and_the_ranges_are_the_vector() {
        let mut next = 0;
        for expert in Expert::ALL {
            let (begin, end) = range(expert);
            assert_eq!(begin, next, "{}", expert.name());
            assert!(end > begin && NAMES[begin..end].iter().all(|(_, of)| *of == expert), "{}", expert.name());
            next = end;
        }
        assert_eq!(next, FEATURES);
        let names: BTreeSet<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), FEATURES, "each name stands once");
    }

    /// The journal holds vectors in this order, so it must not change by accident.
    #[test]
    fn the_order_of_the_vector_is_that_of_the_journal() {
        let names: Vec<&str> = NAMES.iter().filter(|(_, of)| of.name() != "toy").map(|(name, _)| *name).collect();
        let journal = "online topic topic_approval own_topic_approval freshness followed friends popularity_1h \
            popularity_6h popularity_1d popularity_7d popularity_28d popularity_rate approval popularity_cluster newcomers \
            busy_hour busy_weekday visits_1h visits_6h visits_1d visits_7d visits_28d recency_rank since_last_visit gap \
            hour_of_day hour_of_week this_opening author_visits novelty own_approval session_depth at_this_hour \
            at_this_weekday lately_at_this_hour own_next co_visit co_audience since_opening just_opened remaining tower";
        assert_eq!(names.join(" "), journal.split_whitespace().collect::<Vec<_>>().join(" "));
    }
}
