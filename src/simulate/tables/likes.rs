//! The law of likes: the probability from which the labels are drawn, and which a model tries to learn.
//!
//! Log-odds of a like of post `i` by user `u` at `t`:
//!
//! `base + features(u, topic_i) + taste_u . theme_i + quality_i + chance_i + hour(topic_i, t)`
//!
//! - `features`: linear in gender, age, age squared, country, city, os and source, one function per topic; the group
//!   of the experiment has no effect.
//! - `taste_u`, `(TASTES,)`, standard normal: only the user's likes reveal it. `theme_i` is the direction of the
//!   post's theme. Its last component is equal for all posts, so that some users like more posts than others.
//! - `quality_i`: longer texts are better, and a tag helps; the text reveals it.
//! - `chance_i`: only the likes of other users reveal it.
//! - `hour`: each topic has its time of day.
//!
//! Invariant: a function of (seed, user, post, instant), without state. Absent on purpose: exposure.

use std::f64::consts::TAU;

use super::attributes::{Attributes, COUNTRIES};
use crate::domain::time::{DAY_MS, HOUR_MS, Millis};
use crate::simulate::chance::{mixed, normal, unit};
use crate::simulate::text::{Theme, Topic};

/// Dimension of a user's taste.
pub const TASTES: usize = 4;

/// Log-odds of a like where all effects are zero.
const BASE: f64 = -1.9;
/// Standard deviation of `taste_u . theme_i` over users, by topic and theme.
const TASTE_SPREAD: f64 = 1.3;
/// Share of a theme direction's variance that its topic determines.
const TOPIC_SHARE: f64 = 0.4;
/// Standard deviation of a user's overall tendency to like, beyond their features.
const LEVEL_SPREAD: f64 = 0.5;
/// Standard deviation of `chance_i`.
pub const CHANCE_SPREAD: f64 = 0.25;
const LENGTH_GAIN: f64 = 0.3;
const TAG_GAIN: f64 = 0.25;
const HOUR_GAIN: f64 = 0.35;

/// Effects of each feature, by topic.
#[derive(Clone, Debug)]
struct Effects {
    gender: f64,
    age: [f64; 2],
    country: [f64; COUNTRIES.len()],
    city: [[f64; 6]; COUNTRIES.len()],
    os: f64,
    source: f64,
    peak_hour: f64,
}

/// The law of one seed: effects of features, directions of themes, hours of topics.
#[derive(Clone, Debug)]
pub struct Law {
    seed: u64,
    effects: Vec<Effects>,
    /// Directions by topic and theme.
    directions: Vec<[[f64; TASTES]; Theme::COUNT]>,
}

/// The properties of a post that the law reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub topic: Topic,
    pub theme: Theme,
    pub quality: f64,
    pub chance: f64,
}

impl Law {
    pub(super) fn new(seed: u64) -> Law {
        let draw = |topic: Topic, what: u64| normal(mixed(seed, &[0x6c_6177, topic as u64, what]));
        let effects = Topic::ALL.into_iter().map(|topic| {
            let at = |what: u64, spread: f64| spread * draw(topic, what);
            Effects {
                gender: at(1, 0.3),
                age: [at(2, 0.35), at(3, 0.15)],
                country: std::array::from_fn(|country| at(100 + country as u64, 0.3)),
                city: std::array::from_fn(|country| {
                    std::array::from_fn(|city| at(200 + (country * 6 + city) as u64, 0.12))
                }),
                os: at(4, 0.15),
                source: at(5, 0.1),
                peak_hour: 24.0 * unit(mixed(seed, &[0x686f_7572, topic as u64])),
            }
        });
        let directions = Topic::ALL.into_iter().map(|topic| {
            std::array::from_fn(|theme| {
                let mut direction = [0.0; TASTES];
                for (place, value) in direction.iter_mut().enumerate().take(TASTES - 1) {
                    let common = TOPIC_SHARE.sqrt() * draw(topic, 1_000 + place as u64);
                    let own = (1.0 - TOPIC_SHARE).sqrt() * draw(topic, 2_000 + (theme * TASTES + place) as u64);
                    *value = TASTE_SPREAD / ((TASTES - 1) as f64).sqrt() * (common + own);
                }
                direction[TASTES - 1] = LEVEL_SPREAD;
                direction
            })
        });
        Law { seed, effects: effects.collect(), directions: directions.collect() }
    }

    /// Log-odds without history: base, features, quality of the text, hour.
    pub(super) fn visible(&self, person: &Attributes, post: &Facts, at: Millis) -> f64 {
        let effects = &self.effects[post.topic as usize];
        let sign = |is: bool| if is { 1.0 } else { -1.0 };
        let (age, country, city) = (person.age_scaled(), usize::from(person.country), usize::from(person.city));
        let hour = at.0.rem_euclid(DAY_MS) as f64 / HOUR_MS as f64;
        BASE + effects.gender * sign(person.gender == 1)
            + effects.age[0] * age
            + effects.age[1] * (age * age - 1.0)
            + effects.country[country]
            + effects.city[country][city]
            + effects.os * sign(person.is_ios)
            + effects.source * sign(person.is_organic)
            + post.quality
            + HOUR_GAIN * ((hour - effects.peak_hour) / 24.0 * TAU).cos()
    }

    /// Hidden taste of a user, `(TASTES,)`.
    pub(super) fn taste(&self, person: u32) -> [f64; TASTES] {
        std::array::from_fn(|place| normal(mixed(self.seed, &[0x0074_6173_7465, u64::from(person), place as u64])))
    }

    /// Direction of a post's theme, `(TASTES,)`, which multiplies a taste.
    pub(super) fn direction(&self, post: &Facts) -> &[f64; TASTES] {
        &self.directions[post.topic as usize][post.theme.index()]
    }

    /// Quality of a text, from its length and tags.
    pub(super) fn quality(text: &str) -> f64 {
        // Composed texts have about 90 +- 30 characters.
        let length = ((text.chars().count() as f64 - 90.0) / 30.0).clamp(-2.0, 2.0);
        LENGTH_GAIN * length + if text.contains('#') { TAG_GAIN } else { -TAG_GAIN }
    }

    /// Hidden effect of a post, which only other users' likes reveal.
    pub(super) fn chance(&self, post: u32) -> f64 {
        CHANCE_SPREAD * normal(mixed(self.seed, &[0x0063_6861_6e63, u64::from(post)]))
    }
}

/// Dot product `a . b`.
pub(super) fn product(a: &[f64; TASTES], b: &[f64; TASTES]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
