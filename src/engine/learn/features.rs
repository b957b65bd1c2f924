//! What the blend weighs: one number per feature, on a log-odds scale, grouped by expert.
//!
//! Invariant: the order is that of the feature vector in the journal; features are appended within their expert's
//! row only by a change of the snapshot and journal formats. A feature that says nothing is 0 or a constant that all
//! candidates share. Absent on purpose: how they are computed (`rank::UserProfile`), and their weights (`blend`).

use crate::domain::feeds::Expert;

/// How many there are.
pub const FEATURES: usize = 43;

/// One number per feature, `(FEATURES,)`.
pub type Features = [f32; FEATURES];

/// Half-lives of decayed counts, of items and of a person's own visits: 1 hour, 6 hours, 1 day, 7 days, 28 days.
pub const HALF_LIVES_MS: [i64; 5] = [3_600_000, 21_600_000, 86_400_000, 604_800_000, 2_419_200_000];

/// Names, in the order of the vector, with their experts. Features of one expert stand side by side.
pub const NAMES: [(&str, Expert); FEATURES] = [
    ("online", Expert::Online),
    ("topic", Expert::Topic),
    ("topic_approval", Expert::Topic),
    ("own_topic_approval", Expert::Topic),
    ("freshness", Expert::Freshness),
    ("followed", Expert::Followed),
    ("friends", Expert::Followed),
    ("popularity_1h", Expert::Popularity),
    ("popularity_6h", Expert::Popularity),
    ("popularity_1d", Expert::Popularity),
    ("popularity_7d", Expert::Popularity),
    ("popularity_28d", Expert::Popularity),
    ("popularity_rate", Expert::Popularity),
    ("approval", Expert::Popularity),
    ("popularity_cluster", Expert::Popularity),
    ("newcomers", Expert::Popularity),
    ("busy_hour", Expert::Popularity),
    ("busy_weekday", Expert::Popularity),
    ("visits_1h", Expert::Repeat),
    ("visits_6h", Expert::Repeat),
    ("visits_1d", Expert::Repeat),
    ("visits_7d", Expert::Repeat),
    ("visits_28d", Expert::Repeat),
    ("recency_rank", Expert::Repeat),
    ("since_last_visit", Expert::Repeat),
    ("gap", Expert::Repeat),
    ("hour_of_day", Expert::Repeat),
    ("hour_of_week", Expert::Repeat),
    ("this_opening", Expert::Repeat),
    ("author_visits", Expert::Repeat),
    ("novelty", Expert::Repeat),
    ("own_approval", Expert::Repeat),
    ("session_depth", Expert::Repeat),
    ("at_this_hour", Expert::Repeat),
    ("at_this_weekday", Expert::Repeat),
    ("lately_at_this_hour", Expert::Repeat),
    ("own_next", Expert::Repeat),
    ("co_visit", Expert::CoVisit),
    ("co_audience", Expert::CoAudience),
    ("since_opening", Expert::Opening),
    ("just_opened", Expert::Opening),
    ("remaining", Expert::Opening),
    ("tower", Expert::Tower),
];

/// Places of the features in the vector.
#[allow(missing_docs)]
pub mod at {
    pub const ONLINE: usize = 0;
    pub const TOPIC: usize = 1;
    pub const TOPIC_APPROVAL: usize = 2;
    pub const OWN_TOPIC_APPROVAL: usize = 3;
    pub const FRESHNESS: usize = 4;
    pub const FOLLOWED: usize = 5;
    pub const FRIENDS: usize = 6;
    /// The first of five, by half-life.
    pub const POPULARITY: usize = 7;
    pub const POPULARITY_1D: usize = 9;
    pub const POPULARITY_RATE: usize = 12;
    pub const APPROVAL: usize = 13;
    pub const POPULARITY_CLUSTER: usize = 14;
    pub const NEWCOMERS: usize = 15;
    pub const BUSY_HOUR: usize = 16;
    pub const BUSY_WEEKDAY: usize = 17;
    /// The first of five, by half-life.
    pub const VISITS: usize = 18;
    pub const RECENCY_RANK: usize = 23;
    pub const SINCE_LAST_VISIT: usize = 24;
    pub const GAP: usize = 25;
    pub const HOUR_OF_DAY: usize = 26;
    pub const HOUR_OF_WEEK: usize = 27;
    pub const THIS_OPENING: usize = 28;
    pub const AUTHOR_VISITS: usize = 29;
    pub const NOVELTY: usize = 30;
    pub const OWN_APPROVAL: usize = 31;
    pub const SESSION_DEPTH: usize = 32;
    pub const AT_THIS_HOUR: usize = 33;
    pub const AT_THIS_WEEKDAY: usize = 34;
    pub const LATELY_AT_THIS_HOUR: usize = 35;
    pub const OWN_NEXT: usize = 36;
    pub const CO_VISIT: usize = 37;
    pub const CO_AUDIENCE: usize = 38;
    pub const SINCE_OPENING: usize = 39;
    pub const JUST_OPENED: usize = 40;
    pub const REMAINING: usize = 41;
    pub const TOWER: usize = 42;
}

/// What an expert's features are, as a range of the vector.
#[must_use]
pub const fn range(expert: Expert) -> (usize, usize) {
    match expert {
        Expert::Online => (0, 1),
        Expert::Topic => (1, 4),
        Expert::Freshness => (4, 5),
        Expert::Followed => (5, 7),
        Expert::Popularity => (7, 18),
        Expert::Repeat => (18, 37),
        Expert::CoVisit => (37, 38),
        Expert::CoAudience => (38, 39),
        Expert::Opening => (39, 42),
        Expert::Tower => (42, 43),
    }
}

/// The share of each expert in a score, in the order of `Expert::ALL`.
pub type Shares = [f32; Expert::ALL.len()];

/// Weighted features, summed by expert.
#[inline]
#[must_use]
pub fn shares(weights: &Features, features: &Features) -> Shares {
    // Ranges that the compiler knows: this runs for every candidate.
    macro_rules! share {
        ($expert:expr) => {{
            const RANGE: (usize, usize) = range($expert);
            (RANGE.0..RANGE.1).fold(0.0, |sum, k| sum + weights[k] * features[k])
        }};
    }
    [
        share!(Expert::Online),
        share!(Expert::Topic),
        share!(Expert::Freshness),
        share!(Expert::Followed),
        share!(Expert::Popularity),
        share!(Expert::Repeat),
        share!(Expert::CoVisit),
        share!(Expert::CoAudience),
        share!(Expert::Opening),
        share!(Expert::Tower),
    ]
}

/// Weights differ between what a person has been to and what they have not: the same evidence means another thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Never there, as far as is remembered.
    New,
    /// Been there.
    Seen,
}

impl Segment {
    /// Its place in a table of weights.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Segment::New => 0,
            Segment::Seen => 1,
        }
    }
}

/// The features of one candidate, and which weights they meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// See [`NAMES`].
    pub features: Features,
    /// Been there or not.
    pub segment: Segment,
}

impl Row {
    /// Of what nothing is known.
    pub const NOTHING: Row = Row { features: [0.0; FEATURES], segment: Segment::New };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expert_has_its_range_and_the_ranges_are_the_vector() {
        let mut next = 0;
        for expert in Expert::ALL {
            let (begin, end) = range(expert);
            assert_eq!(begin, next, "{}", expert.name());
            assert!(NAMES[begin..end].iter().all(|(_, of)| *of == expert), "{}", expert.name());
            next = end;
        }
        assert_eq!(next, FEATURES);
        for (place, name) in [
            (at::TOPIC_APPROVAL, "topic_approval"),
            (at::FRIENDS, "friends"),
            (at::POPULARITY, "popularity_1h"),
            (at::POPULARITY_1D, "popularity_1d"),
            (at::POPULARITY_RATE, "popularity_rate"),
            (at::VISITS, "visits_1h"),
            (at::RECENCY_RANK, "recency_rank"),
            (at::GAP, "gap"),
            (at::THIS_OPENING, "this_opening"),
            (at::OWN_APPROVAL, "own_approval"),
            (at::SESSION_DEPTH, "session_depth"),
            (at::AT_THIS_HOUR, "at_this_hour"),
            (at::AT_THIS_WEEKDAY, "at_this_weekday"),
            (at::NEWCOMERS, "newcomers"),
            (at::BUSY_HOUR, "busy_hour"),
            (at::BUSY_WEEKDAY, "busy_weekday"),
            (at::LATELY_AT_THIS_HOUR, "lately_at_this_hour"),
            (at::OWN_NEXT, "own_next"),
            (at::CO_VISIT, "co_visit"),
            (at::CO_AUDIENCE, "co_audience"),
            (at::JUST_OPENED, "just_opened"),
            (at::REMAINING, "remaining"),
            (at::POPULARITY_CLUSTER, "popularity_cluster"),
            (at::TOWER, "tower"),
        ] {
            assert_eq!(NAMES[place].0, name);
        }
    }
}
