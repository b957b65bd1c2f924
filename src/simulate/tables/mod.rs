//! Tables of people, posts and views as a feed keeps them, drawn from a law of likes that is known.
//!
//! Invariant: everything follows from the size, the start and the seed; rows come in the order of their times; a like
//! follows the view that it is of, and that view says so. Memory holds people and posts, not rows. What is shown to whom
//! does not depend on taste, so the rows say the same of what was shown and of what was not.
//! Absent on purpose: files (`tables::write` has them), and anything that learns; `bounds` says what could be learned.

mod attributes;
pub mod bounds;
mod likes;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub use attributes::Attributes;
pub use likes::{CHANCE_SPREAD, Law, TASTES};

use super::history::HOURS;
use super::text::{Topic, any_theme, compose};
use super::{SimulateError, mixed, normal, sigmoid, stream};
use crate::domain::time::{DAY_MS, HOUR_MS, Millis, SECOND_MS};
use likes::{Facts, product};

/// Share of the posts that are there from the beginning; the others come one after the other.
const FIRST_SHARE: f64 = 0.6;
/// Until which part of the time posts come.
const LAST_POST: f64 = 0.98;
/// Spread of the logarithm of how often people come, and of how often posts are shown.
const ACTIVITY_SPREAD: f64 = 0.7;
const FAME_SPREAD: f64 = 0.8;
/// How likely one more view follows another one.
const GO_ON: f64 = 0.88;
/// Seconds until the next view, and until the like of the one before.
const NEXT_VIEW_S: std::ops::Range<i64> = 25..120;
const LIKE_S: std::ops::Range<i64> = 3..25;

/// How much of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// People, at least 1.
    pub people: u32,
    /// Posts, at least 1.
    pub posts: u32,
    /// Views; likes are rows of their own beside them.
    pub views: u64,
    /// Days, at least 1.
    pub days: u32,
}

/// A post.
#[derive(Clone, Debug)]
pub struct Post {
    /// What it says.
    pub text: String,
    /// What it is about.
    pub topic: Topic,
    /// From when on it is shown.
    pub published: Millis,
    facts: Facts,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// When, in whole seconds.
    pub at: Millis,
    /// Place among the people.
    pub person: u32,
    /// Place among the posts.
    pub post: u32,
    /// What they did.
    pub act: Act,
}

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// They saw it.
    View {
        /// A like follows.
        liked: bool,
        /// The probability with which it was drawn; no file has it.
        probability: f64,
    },
    /// They liked it.
    Like,
}

/// What is to come: when, in which order among equals, who, which post, whether it is the like of a view.
type Planned = Reverse<(Millis, u64, u32, u32, bool)>;

/// See the module. Iterates over the rows of the feed.
pub struct Tables {
    size: Size,
    start: Millis,
    law: Law,
    people: Vec<Attributes>,
    posts: Vec<Post>,
    tastes: Vec<[f64; TASTES]>,
    /// How often people come, summed up.
    activity: Vec<f64>,
    /// How often posts are shown, summed up; they are in the order in which they were published.
    fame: Vec<f64>,
    random: ChaCha8Rng,
    likes: ChaCha8Rng,
    hour: u32,
    /// Views that were planned, and given.
    planned: u64,
    views: u64,
    order: u64,
    waiting: BinaryHeap<Planned>,
}

impl Tables {
    /// Tables of this size; the first day begins at `start`.
    ///
    /// # Errors
    /// [`SimulateError`] for no people or posts at all, and days that are none or end after the year 9999.
    pub fn new(size: Size, seed: u64, start: Millis) -> Result<Tables, SimulateError> {
        if size.people == 0 || size.posts == 0 {
            return Err(SimulateError::Tables);
        }
        if !(1..=super::history::DAYS_MAX).contains(&size.days) {
            return Err(SimulateError::Days { found: size.days });
        }
        let span = i64::from(size.days) * DAY_MS;
        // A last session may run on for a while.
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

    /// How much of what.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// Who there is.
    #[must_use]
    pub fn people(&self) -> &[Attributes] {
        &self.people
    }

    /// What there is.
    #[must_use]
    pub fn posts(&self) -> &[Post] {
        &self.posts
    }

    /// Views so far.
    #[must_use]
    pub fn views(&self) -> u64 {
        self.views
    }

    /// The first instant of the last fifth of the time.
    #[must_use]
    pub fn last_fifth(&self) -> Millis {
        let hours = i64::from(self.size.days) * 24;
        self.start.plus((hours - hours / 5) * HOUR_MS)
    }

    /// Plans what begins within one hour; the last hour makes the views whole.
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
                // The first post is there from the start.
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
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
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
            return Some(Row { at, person, post, act: Act::Like });
        }
        self.views += 1;
        let probability = self.probability(person, post, at);
        let liked = self.likes.random_bool(probability);
        if liked {
            let later = self.likes.random_range(LIKE_S) * SECOND_MS;
            self.waiting.push(Reverse((at.plus(later), self.order, person, post, true)));
            self.order += 1;
        }
        Some(Row { at, person, post, act: Act::View { liked, probability } })
    }
}

/// A place, as likely as its weight; `sums` rise and are not empty.
fn drawn(random: &mut ChaCha8Rng, sums: &[f64]) -> u32 {
    let found = random.random::<f64>() * sums.last().copied().unwrap_or_default();
    sums.partition_point(|sum| *sum <= found).min(sums.len().saturating_sub(1)) as u32
}
