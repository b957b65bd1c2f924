//! Texts of simulated posts: composing one for a theme, and recognising the theme of one.
//!
//! Invariant: a composed text contains words of its own theme and of no other theme's lists. It has one to three short
//! sentences and perhaps tags. Absent on purpose: taste; the caller chooses the theme.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::vocabulary::{TOPICS, ThemeWords};

/// Topic of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each name is the topic itself")]
pub enum Topic {
    Music,
    Football,
    Cooking,
    Space,
    Films,
    Travel,
    Gardening,
    Programming,
    Politics,
    Cycling,
    Books,
    Photography,
}

impl Topic {
    /// Number of topics.
    pub const COUNT: usize = 12;

    /// All topics, in the order of their declaration.
    pub const ALL: [Topic; Topic::COUNT] = [
        Topic::Music,
        Topic::Football,
        Topic::Cooking,
        Topic::Space,
        Topic::Films,
        Topic::Travel,
        Topic::Gardening,
        Topic::Programming,
        Topic::Politics,
        Topic::Cycling,
        Topic::Books,
        Topic::Photography,
    ];

    /// Name in JSON and in keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        TOPICS[self as usize].name
    }

    /// The topic with a name; `None` for an unknown one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

/// Theme of a post within its topic, such as jazz within music: 0 to [`Theme::COUNT`] - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Theme(u8);

impl Theme {
    /// Number of themes in each topic.
    pub const COUNT: usize = 4;

    /// The themes of any topic, ascending.
    pub const ALL: [Theme; Theme::COUNT] = [Theme(0), Theme(1), Theme(2), Theme(3)];

    /// Index among the themes of a topic.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Name within a topic.
    #[must_use]
    pub fn name(self, topic: Topic) -> &'static str {
        self.words(topic).name
    }

    fn words(self, topic: Topic) -> &'static ThemeWords {
        &TOPICS[topic as usize].themes[self.index()]
    }
}

/// Sentence patterns with `{thing}`, `{doing}` and `{detail}`; a capital letter stands at the start of a sentence.
static FORMS: [&str; 26] = [
    "{Doing} {thing}, and {detail}.",
    "Today I {doing} {thing}. {Detail}.",
    "I {doing} {thing} last night. {Detail}, {aside}.",
    "{Opener}: {thing}. {Detail}.",
    "{Opener}, I {doing} {thing}. {Detail}.",
    "Anyone else who {doing} {thing}? {Detail}!",
    "{Detail}. That is {thing} for you.",
    "{Detail}. And yes, I {doing} {thing} again.",
    "Three years ago I {doing} {thing}. These days {detail}.",
    "What {thing} taught me: {detail}.",
    "Unpopular opinion on {thing}: {detail}.",
    "So I {doing} {thing}, {aside}. {Detail}.",
    "{Doing} {thing} with {company}. {Detail}.",
    "{Company} and I {doing} {thing}. {Opener}: {detail}.",
    "If {thing} is wrong, I do not want to be right. {Detail}.",
    "Between {thing} and {other} I know what I choose. {Detail}.",
    "First {thing}, then {other}. {Detail}.",
    "{Doing} {thing}; tomorrow it is {other}. {Detail}, {aside}.",
    "Note to self about {thing}: {detail}.",
    "Nobody told me about {thing}. {Detail}.",
    "{Detail} 😅 I {doing} {thing} anyway.",
    "{Thing}. {Other}. {Detail}. Perfect day.",
    "Question for those who know {thing}: is it normal that {detail}?",
    "It is late, I {doing} {thing}, {detail}.",
    "{Thing} deserves more love. {Detail}, and {second}.",
    "Small report: {doing} {thing}. {Detail}. {Second}.",
];

static OPENERS: [&str; 16] = [
    "small victory",
    "confession",
    "highlight of the week",
    "honest review",
    "for the record",
    "mood",
    "plot twist",
    "field notes",
    "weekend mission",
    "long story short",
    "today's obsession",
    "update for the curious",
    "hear me out",
    "good news",
    "reminder to everyone",
    "note from this morning",
];

static ASIDES: [&str; 12] = [
    "in case you wondered",
    "no regrets",
    "as one does",
    "I kid you not",
    "and that was before lunch",
    "ask me how I know",
    "for the third time this month",
    "which says something",
    "more or less",
    "against all advice",
    "so that is settled",
    "believe it or not",
];

static COMPANY: [&str; 12] = [
    "my sister",
    "two colleagues",
    "the neighbours",
    "an old friend",
    "my uncle",
    "the whole family",
    "a complete stranger",
    "my flatmate",
    "half the street",
    "the usual crowd",
    "a sceptical cousin",
    "our new intern",
];

/// Composes a post on a theme.
#[must_use]
pub fn compose(random: &mut ChaCha8Rng, topic: Topic, theme: Theme) -> String {
    let words = theme.words(topic);
    let thing = random.random_range(0..words.things.len());
    // A different element of the list: an offset from 1 to the length minus 1.
    let other = (thing + random.random_range(1..words.things.len())) % words.things.len();
    let detail = random.random_range(0..words.details.len());
    let second = (detail + random.random_range(1..words.details.len())) % words.details.len();
    let mut text = String::with_capacity(160);
    let mut rest = pick(random, &FORMS);
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((slot, after)) = after.split_once('}') else { break };
        let word = match slot.to_ascii_lowercase().as_str() {
            "thing" => words.things[thing],
            "other" => words.things[other],
            "doing" => pick(random, &words.doings),
            "detail" => words.details[detail],
            "second" => words.details[second],
            "opener" => pick(random, &OPENERS),
            "aside" => pick(random, &ASIDES),
            _ => pick(random, &COMPANY),
        };
        if slot.starts_with(|c: char| c.is_ascii_uppercase()) {
            let mut letters = word.chars();
            text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
            text.push_str(letters.as_str());
        } else {
            text.push_str(word);
        }
        rest = after;
    }
    text.push_str(rest);
    if random.random_bool(TAGGED_SHARE) {
        text.push_str(" #");
        text.extend(words.name.chars().filter(|c| c.is_alphanumeric()));
        if random.random_bool(TAGGED_SHARE) {
            text.push_str(" #");
            text.push_str(topic.name());
        }
    }
    text
}

/// Share of posts that carry their theme as a tag, and share of these that carry the topic, too.
const TAGGED_SHARE: f64 = 0.5;

fn pick(random: &mut ChaCha8Rng, list: &[&'static str]) -> &'static str {
    list[random.random_range(0..list.len())]
}

/// Draws a theme uniformly.
#[must_use]
pub fn any_theme(random: &mut ChaCha8Rng) -> Theme {
    Theme::ALL[random.random_range(0..Theme::COUNT)]
}

/// The most likely topic and theme of a text, judged by words that few themes use; `None` for a text without such
/// words. A given `topic` restricts the themes.
#[must_use]
pub fn recognise(text: &str, topic: Option<Topic>) -> Option<(Topic, Theme)> {
    let known = known_words();
    let mut votes = [[0.0_f64; Theme::COUNT]; Topic::COUNT];
    for word in words_of(text) {
        for &(topic, theme) in known.get(word.as_str()).map_or(&[][..], Vec::as_slice) {
            votes[topic as usize][theme.index()] += 1.0 / known[word.as_str()].len() as f64;
        }
    }
    let mut best: Option<(f64, Topic, Theme)> = None;
    for candidate in Topic::ALL.into_iter().filter(|candidate| topic.is_none_or(|wanted| wanted == *candidate)) {
        for theme in Theme::ALL {
            let vote = votes[candidate as usize][theme.index()];
            if vote > best.map_or(0.0, |(most, ..)| most) {
                best = Some((vote, candidate, theme));
            }
        }
    }
    best.map(|(_, topic, theme)| (topic, theme))
}

fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3).map(str::to_lowercase)
}

/// The themes that use each word of the vocabulary.
fn known_words() -> &'static BTreeMap<String, Vec<(Topic, Theme)>> {
    static KNOWN: OnceLock<BTreeMap<String, Vec<(Topic, Theme)>>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let mut known: BTreeMap<String, Vec<(Topic, Theme)>> = BTreeMap::new();
        for topic in Topic::ALL {
            for theme in Theme::ALL {
                let words = theme.words(topic);
                let phrases = words.things.iter().chain(&words.doings).chain(&words.details);
                for word in phrases.flat_map(|phrase| words_of(phrase)) {
                    let themes = known.entry(word).or_default();
                    if themes.last() != Some(&(topic, theme)) {
                        themes.push((topic, theme));
                    }
                }
            }
        }
        // A word of many themes carries no information.
        known.retain(|_, themes| themes.len() <= 4);
        known
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::simulate::chance::stream;

    #[test]
    fn topics_and_themes_have_distinct_names() {
        let mut names = BTreeSet::new();
        for topic in Topic::ALL {
            assert_eq!(Topic::from_name(topic.name()), Some(topic));
            assert_eq!(serde_json::to_value(topic).unwrap(), topic.name());
            for theme in Theme::ALL {
                assert!(names.insert((topic, theme.name(topic))));
            }
        }
    }

    #[test]
    fn texts_are_short_finished_sentences_and_rarely_repeat() {
        let mut random = stream(1, "test", 0);
        let mut seen = BTreeSet::new();
        for n in 0..4_800 {
            let (topic, theme) = (Topic::ALL[n % 12], Theme::ALL[n / 12 % 4]);
            let text = compose(&mut random, topic, theme);
            assert!(!text.contains(['{', '}']) && (20..320).contains(&text.len()), "{text}");
            let sentences = text.split(" #").next().unwrap_or_default();
            assert!(sentences.ends_with(['.', '!', '?']) && text.starts_with(char::is_uppercase), "{text}");
            seen.insert(text);
        }
        assert!(seen.len() > 4_700, "{}", seen.len());
    }

    /// Another order of the word lists would turn every seed into another world.
    #[test]
    fn a_seed_gives_the_texts_that_it_always_gave() {
        let mut random = stream(1, "test", 0);
        let mut hash = 0;
        for n in 0..4_800 {
            let text = compose(&mut random, Topic::ALL[n % 12], Theme::ALL[n / 12 % 4]);
            hash = xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), hash);
        }
        assert_eq!(hash, 3_029_106_296_322_339_885);
    }

    #[test]
    fn a_text_is_recognised() {
        let mut random = stream(2, "test", 0);
        let (mut right, mut right_within) = (0, 0);
        for n in 0..2_400 {
            let (topic, theme) = (Topic::ALL[n % 12], Theme::ALL[n / 12 % 4]);
            let text = compose(&mut random, topic, theme);
            right += usize::from(recognise(&text, None) == Some((topic, theme)));
            right_within += usize::from(recognise(&text, Some(topic)) == Some((topic, theme)));
        }
        assert!(right > 2_300 && right_within > 2_370, "{right} {right_within} of 2400");
        assert_eq!(recognise("zzz", None), None);
        assert_eq!(recognise("", Some(Topic::Music)), None);
    }
}
