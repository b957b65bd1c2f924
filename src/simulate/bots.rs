//! Simulated users who react live to any feed.
//!
//! Invariant: a bot's hidden taste alone decides whether it likes an item; the position decides only whether the bot
//! sees it. So a better ranking means more likes. A bot acts on an item at most once.
//! Absent on purpose: sockets, timers and threads; the caller brings feed and time.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::behaviour::reaction;
use super::chance::{mixed, stream, unit};
use super::history::liveliness;
use super::network::{Network, PersonIndex};
use super::taste::{like_probability, subject};
use super::text::{Topic, compose, recognise};
use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::time::{MINUTE_MS, Millis};
use crate::domain::windows::Window;

/// Probability of viewing one item further down.
const ONWARDS: f64 = 0.88;
/// Probability that a turn of an average bot writes a post.
const POST_SHARE: f64 = 0.03;
/// Share of a bot's posts that are live broadcasts of a duration in `LIVE_MS`.
const LIVE_SHARE: f64 = 0.2;
const LIVE_MS: Range<i64> = 2 * MINUTE_MS..10 * MINUTE_MS;
/// Limit on the viewed items that a bot remembers.
const LOOKED_MAX: usize = 1_024;

/// One feed item as a user sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct BotItem {
    /// Key of the item.
    pub item: Key,
    /// Key of the author, if the item names one.
    pub author: Option<Key>,
    /// Main topic of the item.
    pub topic: Option<Key>,
    /// Text of the item.
    pub text: Arc<str>,
    /// Position in the feed, from 0.
    pub position: u16,
}

/// Outcome of a bot's turn.
#[derive(Clone, Debug, PartialEq)]
pub enum BotAction {
    /// The bot reacts to an item.
    Interact {
        /// Key of the item.
        item: Key,
        /// Kind of the interaction.
        kind: Kind,
        /// Dwell time in milliseconds, for kinds that have one.
        dwell_ms: Option<u32>,
    },
    /// The bot writes a post, or starts a live broadcast.
    Post {
        /// Text of the post.
        text: String,
        /// Topic of the post.
        topic: Topic,
        /// Availability of a broadcast; `None` for a plain post.
        window: Option<Window>,
    },
    /// The bot viewed items and found none to react to.
    Wait,
}

/// A simulated user in front of a feed.
#[derive(Clone, Debug)]
pub struct Bot {
    network: Arc<Network>,
    person: PersonIndex,
    random: ChaCha8Rng,
    /// Hashes of the viewed items, oldest first.
    looked: VecDeque<u64>,
    pause_ms: Range<i64>,
    resumes: Option<Millis>,
}

impl Bot {
    /// A bot for one simulated user. Equal seed, user and feeds give equal actions.
    #[must_use]
    pub fn new(network: Arc<Network>, person: PersonIndex, seed: u64) -> Bot {
        let random = stream(mixed(seed, &[network.seed()]), "bot", u64::from(person.0));
        Bot { network, person, random, looked: VecDeque::new(), pause_ms: 2_000..15_000, resumes: None }
    }

    /// Sets the range of pauses between turns; the default is 2 to 15 s, an empty range means no pause.
    #[must_use]
    pub fn with_pause_ms(mut self, pause_ms: Range<i64>) -> Bot {
        self.pause_ms = pause_ms;
        self
    }

    /// Index of the simulated user.
    #[must_use]
    pub fn person(&self) -> PersonIndex {
        self.person
    }

    /// Time of the next turn; `None` before the first one.
    #[must_use]
    pub fn resumes(&self) -> Option<Millis> {
        self.resumes
    }

    /// True where the user would like the item on viewing it. The result never depends on the feed.
    #[must_use]
    pub fn likes(&self, item: &BotItem, now: Millis) -> bool {
        self.verdict(item, now).0
    }

    /// One turn in front of a feed sorted by position: the first action of the bot, `None` during its pause.
    pub fn react(&mut self, feed: &[BotItem], now: Millis) -> Option<BotAction> {
        if self.resumes.is_some_and(|resumes| now < resumes) {
            return None;
        }
        let pause = if self.pause_ms.is_empty() { 0 } else { self.random.random_range(self.pause_ms.clone()) };
        self.resumes = Some(now.plus(pause));
        if self.random.random_bool((POST_SHARE * liveliness(&self.network, self.person)).min(1.0)) {
            return Some(self.post(now));
        }
        Some(self.browse(feed, now).unwrap_or(BotAction::Wait))
    }

    fn post(&mut self, now: Millis) -> BotAction {
        let (topic, theme) = subject(&self.network, self.person, now, &mut self.random);
        let text = compose(&mut self.random, topic, theme);
        if !self.random.random_bool(LIVE_SHARE) {
            return BotAction::Post { text, topic, window: None };
        }
        let stop = now.plus(self.random.random_range(LIVE_MS));
        BotAction::Post {
            text: format!("Live now! {text}"),
            topic,
            window: Some(Window { start: now, stop: Some(stop) }),
        }
    }

    /// Views the feed from the top; items viewed before cost nothing.
    fn browse(&mut self, feed: &[BotItem], now: Millis) -> Option<BotAction> {
        for item in feed {
            let hash = xxh3_64_with_seed(item.item.as_str().as_bytes(), 0);
            if self.looked.contains(&hash) {
                continue;
            }
            if self.looked.len() == LOOKED_MAX {
                self.looked.pop_front();
            }
            self.looked.push_back(hash);
            if item.author.as_ref().is_some_and(|author| self.network.person(self.person).key == *author) {
                continue;
            }
            let (likes, probability) = self.verdict(item, now);
            if let Some((kind, dwell_ms)) = reaction(&mut self.random, likes, probability) {
                return Some(BotAction::Interact { item: item.item.clone(), kind, dwell_ms });
            }
            if !self.random.random_bool(ONWARDS) {
                return None;
            }
        }
        None
    }

    /// The decision to like the item, and the probability with which it was drawn.
    fn verdict(&self, item: &BotItem, now: Millis) -> (bool, f64) {
        let topic = item.topic.as_ref().and_then(|topic| Topic::from_name(topic.as_str()));
        let recognised = recognise(&item.text, topic).map(|(topic, theme)| (topic, Some(theme)));
        let about = recognised.or(topic.map(|topic| (topic, None)));
        let author = item.author.as_ref().and_then(|author| self.network.find(author.as_str()));
        let key = item.item.as_str();
        let probability = like_probability(&self.network, self.person, author, key, about, now);
        let draw = mixed(xxh3_64_with_seed(key.as_bytes(), self.network.seed()), &[u64::from(self.person.0)]);
        (unit(draw) < probability, probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::taste::oracle_like_probability;
    use crate::simulate::text::{Theme, any_theme};

    const NOW: Millis = Millis(1_767_225_600_000);

    /// Posts by all users on all topics, sorted by appeal to `person`, ascending or descending.
    fn feed(network: &Network, person: PersonIndex, best_first: bool, round: u64) -> Vec<BotItem> {
        let mut random = stream(round, "feed", 0);
        let mut scored: Vec<(f64, BotItem)> = (0..60)
            .map(|n| {
                let topic = Topic::ALL[n % 12];
                let theme: Theme = any_theme(&mut random);
                let item = BotItem {
                    item: Key::new(&format!("{round}-{n}")).unwrap(),
                    author: Some(network.people()[(n * 7) % network.people().len()].key.clone()),
                    topic: Some(Key::new(topic.name()).unwrap()),
                    text: compose(&mut random, topic, theme).into(),
                    position: 0,
                };
                (oracle_like_probability(network, person, topic, theme, NOW), item)
            })
            .collect();
        scored.sort_by(|a, b| if best_first { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
        let placed = |(n, (_, item)): (usize, (f64, BotItem))| BotItem { position: n as u16, ..item };
        scored.into_iter().enumerate().map(placed).collect()
    }

    #[test]
    fn a_better_order_means_more_likes() {
        let network = Arc::new(Network::new(60, 1).unwrap());
        let likes = |best_first: bool| {
            let mut likes = 0;
            for person in network.indices() {
                let mut bot = Bot::new(network.clone(), person, 1).with_pause_ms(0..0);
                for round in 0..20 {
                    let action = bot.react(&feed(&network, person, best_first, round), NOW);
                    likes += u32::from(matches!(action, Some(BotAction::Interact { kind: Kind::Like, .. })));
                }
            }
            likes
        };
        let (best, worst) = (likes(true), likes(false));
        assert!(best > 2 * worst && best > 300, "{best} against {worst}");
    }

    #[test]
    fn a_bot_is_its_seed_and_acts_once_on_an_item() {
        let network = Arc::new(Network::new(30, 2).unwrap());
        let run = |seed| {
            let mut bot = Bot::new(network.clone(), PersonIndex(3), seed).with_pause_ms(0..0);
            let feed = feed(&network, PersonIndex(3), true, 0);
            (0..200).map(|_| bot.react(&feed, NOW)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let mut items: Vec<Key> = Vec::new();
        for action in run(1).into_iter().flatten() {
            if let BotAction::Interact { item, .. } = action {
                assert!(!items.contains(&item), "{item} twice");
                items.push(item);
            }
        }
        assert!(items.len() > 5);
    }

    #[test]
    fn it_pauses_posts_and_goes_live() {
        let network = Arc::new(Network::new(30, 2).unwrap());
        let mut bot = Bot::new(network, PersonIndex(1), 1);
        assert!(bot.react(&[], NOW).is_some());
        assert_eq!(bot.react(&[], NOW.plus(1_999)), None);
        let (mut posts, mut lives, mut now) = (0, 0, NOW);
        for _ in 0..5_000 {
            now = bot.resumes().unwrap();
            match bot.react(&[], now) {
                Some(BotAction::Post { window: Some(window), text, .. }) => {
                    assert!(window.contains(now) && window.stop.is_some() && text.starts_with("Live now! "));
                    lives += 1;
                }
                Some(BotAction::Post { window: None, .. }) => posts += 1,
                other => assert_eq!(other, Some(BotAction::Wait)),
            }
        }
        assert!(posts > 5 && lives > 0 && now > NOW, "{posts} {lives}");
    }

    #[test]
    fn what_a_person_typed_is_judged_too() {
        let network = Arc::new(Network::new(30, 2).unwrap());
        let bot = Bot::new(network, PersonIndex(1), 1);
        for (name, author, topic, text) in [
            ("nothing known", None, None, ""),
            ("a topic of nobody's", Some("someone"), Some("knitting"), "purl two together"),
            ("words of ours without a topic", None, None, "the borrow checker again"),
            ("topic only", Some("someone"), Some("music"), "🎵"),
        ] {
            let item = BotItem {
                item: Key::new(name).unwrap(),
                author: author.map(|key| Key::new(key).unwrap()),
                topic: topic.map(|key| Key::new(key).unwrap()),
                text: text.into(),
                position: 0,
            };
            let probability = bot.verdict(&item, NOW).1;
            assert!(probability > 0.0 && probability < 1.0, "{name}");
            assert_eq!(bot.likes(&item, NOW), bot.likes(&item, NOW), "{name}");
        }
    }
}
