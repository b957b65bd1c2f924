//! Tastes of simulated users, hidden from the recommender.
//!
//! Invariant: a taste is a function of (seed, user, topic, theme, instant), continuous in time and without state, so
//! bots, histories and tests agree. Absent on purpose: learning, and memory of shown items.

use rand::RngExt;

use super::chance::{mixed, normal, sigmoid};
use super::network::{Network, PersonIndex};
use super::text::{Theme, Topic};
use crate::domain::time::{DAY_MS, Millis};

/// Log-odds of liking a stranger's post on a topic and theme of average appeal.
const BASE: f64 = -1.6;
/// Log-odds that a friend as the author adds.
const FRIEND: f64 = 0.6;
/// Standard deviation of a user's affinity to an author.
const AUTHOR_SPREAD: f64 = 0.3;
/// Standard deviation of a post's quality, which counts for all users alike.
const QUALITY_SPREAD: f64 = 0.4;
/// Standard deviations of a user's topic tastes: the part shared within the circle, and the own part.
const CIRCLE_SPREAD: f64 = 1.0;
const OWN_SPREAD: f64 = 1.0;
/// Standard deviation of a user's tastes among the themes of one topic.
const THEME_SPREAD: f64 = 3.2;

/// The random walk of tastes: step per day, decay per day, and days until a step is forgotten.
const STEP: f64 = 0.22;
const KEPT: f64 = 0.9;
const STEPS: i64 = 28;

/// Number of outlooks; the users of a circle share one.
const OUTLOOKS: u64 = 6;

const CIRCLE: u64 = 1;
const OUTLOOK: u64 = 2;
const OWN: u64 = 3;
const OWN_THEME: u64 = 4;
const WALK: u64 = 5;
const AUTHOR: u64 = 6;
const QUALITY: u64 = 7;

/// Probability that a user likes a stranger's post of average quality, by topic and theme at `now`. For tests of
/// learning.
#[must_use]
pub fn oracle_like_probability(network: &Network, person: PersonIndex, topic: Topic, theme: Theme, now: Millis) -> f64 {
    sigmoid(BASE + taste(network, person, topic, Some(theme), now))
}

/// Probability that a user likes a given post: [`oracle_like_probability`] plus the effects of author and quality.
/// `item` is the post's key; without a theme only the topic counts.
#[must_use]
pub fn like_probability(
    network: &Network,
    person: PersonIndex,
    author: Option<PersonIndex>,
    item: &str,
    about: Option<(Topic, Option<Theme>)>,
    now: Millis,
) -> f64 {
    let seed = network.seed();
    let affinity = author.map_or(0.0, |author| {
        let closeness = if network.are_friends(person, author) { FRIEND } else { 0.0 };
        closeness + AUTHOR_SPREAD * normal(mixed(seed, &[AUTHOR, u64::from(person.0), u64::from(author.0)]))
    });
    let item = xxhash_rust::xxh3::xxh3_64_with_seed(item.as_bytes(), seed);
    let quality = QUALITY_SPREAD * normal(mixed(item, &[QUALITY]));
    let liking = about.map_or(0.0, |(topic, theme)| taste(network, person, topic, theme, now));
    sigmoid(BASE + liking + affinity + quality)
}

/// A user's taste for a topic, and for a theme of it, at `now`: log-odds around 0.
#[must_use]
pub fn taste(network: &Network, person: PersonIndex, topic: Topic, theme: Option<Theme>, now: Millis) -> f64 {
    let (seed, who, what) = (network.seed(), u64::from(person.0), topic as u64);
    let outlook = mixed(seed, &[CIRCLE, u64::from(network.circle(person))]) % OUTLOOKS;
    let mut liking = CIRCLE_SPREAD * normal(mixed(seed, &[OUTLOOK, outlook, what]));
    liking += OWN_SPREAD * normal(mixed(seed, &[OWN, who, what]));
    liking += walk(mixed(seed, &[WALK, who, what]), now);
    if let Some(theme) = theme {
        let which = theme.index() as u64 + 1;
        liking += THEME_SPREAD * normal(mixed(seed, &[OWN_THEME, who, what, which]));
        liking += walk(mixed(seed, &[WALK, who, what, which]), now);
    }
    liking
}

/// Topic and theme of a user's next post at `now`, drawn by `e^taste`.
pub(crate) fn subject(
    network: &Network,
    person: PersonIndex,
    now: Millis,
    random: &mut rand_chacha::ChaCha8Rng,
) -> (Topic, Theme) {
    let topic = Topic::ALL[drawn(random, &Topic::ALL.map(|topic| taste(network, person, topic, None, now).exp()))];
    let theme = Theme::ALL.map(|theme| taste(network, person, topic, Some(theme), now).exp());
    (topic, Theme::ALL[drawn(random, &theme)])
}

/// Draws an index in proportion to positive weights.
fn drawn(random: &mut rand_chacha::ChaCha8Rng, weights: &[f64]) -> usize {
    let mut rest = random.random_range(0.0..1.0) * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        rest -= weight;
        if rest < 0.0 {
            return index;
        }
    }
    weights.len() - 1
}

/// A mean-reverting random walk with one step a day and linear interpolation: the sum of the last 28 steps, weighted
/// by `0.9^age`. Mean 0, standard deviation `STEP / sqrt(1 - KEPT^2)`, about 0.5.
fn walk(seed: u64, now: Millis) -> f64 {
    let day = now.0.div_euclid(DAY_MS);
    let part = now.0.rem_euclid(DAY_MS) as f64 / DAY_MS as f64;
    let (mut today, mut tomorrow) = (0.0, 0.0);
    let mut weight = STEP;
    for age in 0..STEPS {
        today += weight * normal(mixed(seed, &[(day - age) as u64]));
        tomorrow += weight * normal(mixed(seed, &[(day + 1 - age) as u64]));
        weight *= KEPT;
    }
    today + (tomorrow - today) * part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::HOUR_MS;

    const NOW: Millis = Millis(1_760_000_000_000);

    #[test]
    fn people_like_some_things_and_not_others() {
        let network = Network::new(300, 1).unwrap();
        let mut all = Vec::new();
        for person in network.indices() {
            for topic in Topic::ALL {
                all.extend(Theme::ALL.map(|theme| oracle_like_probability(&network, person, topic, theme, NOW)));
            }
        }
        let share = |below: &dyn Fn(f64) -> bool| all.iter().filter(|p| below(**p)).count() as f64 / all.len() as f64;
        assert!(share(&|p| p > 0.6) > 0.1 && share(&|p| p < 0.1) > 0.2);
        assert!(all.iter().all(|p| *p > 0.0 && *p < 1.0));
    }

    #[test]
    fn tastes_drift_slowly_and_without_jumps() {
        let network = Network::new(50, 2).unwrap();
        let at =
            |person, hours: i64| taste(&network, person, Topic::Space, Some(Theme::ALL[1]), NOW.plus(hours * HOUR_MS));
        let mut moved = 0.0;
        for person in network.indices() {
            for hour in 0..200 {
                assert!((at(person, hour + 1) - at(person, hour)).abs() < 0.2, "a jump");
            }
            moved += (at(person, 30 * 24) - at(person, 0)).abs() / 50.0;
        }
        assert!((0.4..1.6).contains(&moved), "{moved}");
    }

    #[test]
    fn neighbours_are_more_alike_than_strangers() {
        let network = Network::new(600, 3).unwrap();
        let distance = |a: PersonIndex, b: PersonIndex| -> f64 {
            let each = |topic| (taste(&network, a, topic, None, NOW) - taste(&network, b, topic, None, NOW)).powi(2);
            Topic::ALL.into_iter().map(each).sum()
        };
        let (mut near, mut far, mut friends) = (0.0, 0.0, 0);
        for person in network.indices() {
            for friend in network.friends(person) {
                near += distance(person, *friend);
                far += distance(person, PersonIndex((person.0 + 301) % 600));
                friends += 1;
            }
        }
        assert!(near < 0.8 * far, "{} against {} over {friends}", near, far);
    }

    #[test]
    fn authors_and_quality_matter_and_the_seed_decides() {
        let network = Network::new(100, 4).unwrap();
        let (me, friend) = (PersonIndex(7), network.friends(PersonIndex(7))[0]);
        let about = Some((Topic::Books, Some(Theme::ALL[0])));
        let p = |author, item: &str| like_probability(&network, me, author, item, about, NOW);
        assert_ne!(p(None, "post-1"), p(None, "post-2"));
        assert!((0..40).filter(|n| p(Some(friend), &n.to_string()) > p(None, &n.to_string())).count() >= 20);
        let other = Network::new(100, 5).unwrap();
        assert_eq!(p(None, "post-1"), p(None, "post-1"));
        assert_ne!(p(None, "post-1"), like_probability(&other, me, None, "post-1", about, NOW));
    }
}
