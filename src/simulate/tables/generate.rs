//! Draws users, posts and the rows of a feed from sizes, a start and a seed.
//!
//! Invariant: rows come in order of time; memory holds users and posts, not rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::attributes::Attributes;
use super::likes::{Facts, Law, TASTES, product};
use crate::domain::time::{DAY_MS, HOUR_MS, Millis, SECOND_MS};
use crate::simulate::chance::{mixed, normal, sigmoid, stream};
use crate::simulate::history::HOURS;
use crate::simulate::limits::{DAYS_MAX, SimulateError};
use crate::simulate::text::{Topic, any_theme, compose};

/// Share of the posts that exist at the start; the others appear over time.
const FIRST_SHARE: f64 = 0.6;
/// Fraction of the time span in which posts appear.
const LAST_POST: f64 = 0.98;
/// Standard deviations of the logarithms of user activity and post popularity.
const ACTIVITY_SPREAD: f64 = 0.7;
const FAME_SPREAD: f64 = 0.8;
/// Probability that another view follows in a session.
const GO_ON: f64 = 0.88;
/// Seconds until the next view of a session, and from a view to its like.
const NEXT_VIEW_S: std::ops::Range<i64> = 25..120;
const LIKE_S: std::ops::Range<i64> = 3..25;

/// Sizes of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablesSize {
    /// Number of users, at least 1.
    pub people: u32,
    /// Number of posts, at least 1.
    pub posts: u32,
    /// Number of views; likes are additional rows.
    pub views: u64,
    /// Number of days, at least 1.
    pub days: u32,
}

/// A post with its hidden effects on likes.
#[derive(Clone, Debug)]
pub struct Post {
    /// Text of the post.
    pub text: String,
    /// Topic of the post.
    pub topic: Topic,
    /// Time from which the post is shown.
    pub published: Millis,
    pub(super) facts: Facts,
}

/// One row of the feed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimulatedRow {
    /// Time of the row, in whole seconds.
    pub at: Millis,
    /// Index of the user.
    pub person: u32,
    /// Index of the post.
    pub post: u32,
    /// View or like.
    pub act: Act,
}

/// Kind of a row in the feed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// A view of the post.
    View {
        /// True where a like follows.
        liked: bool,
        /// Probability of the label; no file contains it.
        probability: f64,
    },
    /// A like of the post.
    Like,
}

/// A row to come: time, order among equal times, user, post, and whether it is the like of a view.
type Planned = Reverse<(Millis, u64, u32, u32, bool)>;

/// A simulated feed with its people and posts; iterates over the rows of the feed in the order of their times.
pub struct Tables {
    size: TablesSize,
    start: Millis,
    pub(super) law: Law,
    pub(super) people: Vec<Attributes>,
    pub(super) posts: Vec<Post>,
    tastes: Vec<[f64; TASTES]>,
    /// Cumulative activity of the users.
    activity: Vec<f64>,
    /// Cumulative popularity of the posts, which are in order of publication.
    fame: Vec<f64>,
    random: ChaCha8Rng,
    likes: ChaCha8Rng,
    hour: u32,
    /// Number of views planned, and number of views emitted.
    planned: u64,
    views: u64,
    order: u64,
    waiting: BinaryHeap<Planned>,
}

impl Tables {
    /// Tables of these sizes; the first day begins at `start`.
    ///
    /// # Errors
    /// [`SimulateError`] without users or posts, and where the days are none or end after the year 9999.
    pub fn new(size: TablesSize, seed: u64, start: Millis) -> Result<Tables, SimulateError> {
        if size.people == 0 || size.posts == 0 {
            return Err(SimulateError::Tables);
        }
        if !(1..=DAYS_MAX).contains(&size.days) {
            return Err(SimulateError::Days { found: size.days });
        }
        let span = i64::from(size.days) * DAY_MS;
        // The last session may extend beyond the last day.
        if start < Millis::MIN || start.plus(span + DAY_MS) > Millis::MAX {
            return Err(SimulateError::Start);
        }
        let start = Millis(start.0.div_euclid(SECOND_MS) * SECOND_MS);
        let law = Law::new(seed);
        let mut texts = stream(seed, "table texts", 0);
        let first = (f64::from(size.posts) * FIRST_SHARE).ceil().max(1.0) as u32;
        let posts = (0..size.posts).map(|post| {
            let topic = Topic::ALL[texts.random_range(0..Topic::COUNT)];
            let theme = any_theme(&mut texts);
            let text = compose(&mut texts, topic, theme);
            let later = f64::from((post + 1).saturating_sub(first)) / f64::from((size.posts - first).max(1));
            let published = start.plus((later * LAST_POST * (span / SECOND_MS) as f64) as i64 * SECOND_MS);
            let facts = Facts { topic, theme, quality: Law::quality(&text), chance: law.chance(post) };
            Post { text, topic, published, facts }
        });
        let posts = posts.collect();
        let summed = |count: u32, what: u64, spread: f64| -> Vec<f64> {
            let weight = |number| (spread * normal(mixed(seed, &[what, u64::from(number)]))).exp();
            let mut sum = 0.0;
            (0..count)
                .map(|number| {
                    sum += weight(number);
                    sum
                })
                .collect()
        };
        Ok(Tables {
            size,
            start,
            people: (0..size.people).map(|person| Attributes::of(seed, person)).collect(),
            posts,
            tastes: (0..size.people).map(|person| law.taste(person)).collect(),
            law,
            activity: summed(size.people, 0x6163_7469, ACTIVITY_SPREAD),
            fame: summed(size.posts, 0x6661_6d65, FAME_SPREAD),
            random: stream(seed, "table views", 0),
            likes: stream(seed, "table likes", 0),
            hour: 0,
            planned: 0,
            views: 0,
            order: 0,
            waiting: BinaryHeap::new(),
        })
    }

    /// Sizes of the tables.
    #[must_use]
    pub fn size(&self) -> TablesSize {
        self.size
    }

    /// Attributes of all users, by index.
    #[must_use]
    pub fn people(&self) -> &[Attributes] {
        &self.people
    }

    /// All posts, by index.
    #[must_use]
    pub fn posts(&self) -> &[Post] {
        &self.posts
    }

    /// Number of views so far.
    #[must_use]
    pub fn views(&self) -> u64 {
        self.views
    }

    /// First instant of the last fifth of the time span.
    #[must_use]
    pub fn last_fifth(&self) -> Millis {
        let hours = i64::from(self.size.days) * 24;
        self.start.plus((hours - hours / 5) * HOUR_MS)
    }

    /// Plans the sessions that begin within one hour; the last hour completes the number of views.
    fn plan_hour(&mut self) {
        let hours = self.size.days * 24;
        let begin = self.start.plus(i64::from(self.hour) * HOUR_MS);
        let of_day = |hour: u32| HOURS[hour as usize % 24];
        let per_day: f64 = HOURS.iter().sum();
        let before = f64::from(self.hour / 24) * per_day + (0..=self.hour % 24).map(of_day).sum::<f64>();
        self.hour += 1;
        let due = if self.hour == hours {
            self.size.views
        } else {
            (self.size.views as f64 * before / (per_day * f64::from(self.size.days))) as u64
        };
        while self.planned < due {
            let person = drawn(&mut self.random, &self.activity);
            let mut at = begin.plus(self.random.random_range(0..HOUR_MS / SECOND_MS) * SECOND_MS);
            loop {
                let published = self.posts.partition_point(|post| post.published <= at);
                // The first post exists from the start.
                let post = drawn(&mut self.random, &self.fame[..published.max(1)]);
                self.waiting.push(Reverse((at, self.order, person, post, false)));
                self.order += 1;
                self.planned += 1;
                if self.planned == self.size.views || !self.random.random_bool(GO_ON) {
                    break;
                }
                at = at.plus(self.random.random_range(NEXT_VIEW_S) * SECOND_MS);
            }
        }
    }

    fn probability(&self, person: u32, post: u32, at: Millis) -> f64 {
        let facts = &self.posts[post as usize].facts;
        let taste = product(&self.tastes[person as usize], self.law.direction(facts));
        sigmoid(self.law.visible(&self.people[person as usize], facts, at) + facts.chance + taste)
    }
}

impl Iterator for Tables {
    type Item = SimulatedRow;

    fn next(&mut self) -> Option<SimulatedRow> {
        let hours = self.size.days * 24;
        while self.hour < hours {
            let reached = self.start.plus(i64::from(self.hour) * HOUR_MS);
            if self.waiting.peek().is_some_and(|Reverse((at, ..))| *at < reached) {
                break;
            }
            self.plan_hour();
        }
        let Reverse((at, _, person, post, is_like)) = self.waiting.pop()?;
        if is_like {
            return Some(SimulatedRow { at, person, post, act: Act::Like });
        }
        self.views += 1;
        let probability = self.probability(person, post, at);
        let liked = self.likes.random_bool(probability);
        if liked {
            let later = self.likes.random_range(LIKE_S) * SECOND_MS;
            self.waiting.push(Reverse((at.plus(later), self.order, person, post, true)));
            self.order += 1;
        }
        Some(SimulatedRow { at, person, post, act: Act::View { liked, probability } })
    }
}

/// Draws an index in proportion to weights, given as ascending cumulative `sums`, which are not empty.
fn drawn(random: &mut ChaCha8Rng, sums: &[f64]) -> u32 {
    let found = random.random::<f64>() * sums.last().copied().unwrap_or_default();
    sums.partition_point(|sum| *sum <= found).min(sums.len().saturating_sub(1)) as u32
}
