//! Full-text search: words of a text after folding, and the query of a search.
//!
//! Invariant: both stores index and match exactly these words, so one query finds equal items in both. A word consists of
//! letters, digits and marks only, so no query reaches the syntax of a store. Deliberately absent: stemming, stop words and
//! synonyms, which need to know the language of a text.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::ids::ItemId;

/// Characters of a word that count; further ones are ignored, in texts and in queries.
pub const WORD_CHARS_MAX: usize = 64;
/// Words of a text that are indexed, from its start: Postgres keeps no position beyond 16,383.
pub const WORDS_MAX: usize = 16_000;
/// Characters of a query at most.
pub const QUERY_CHARS_MAX: usize = 256;
/// Matches of a query that are ranked: the newest ones.
pub const RANKED_MAX: u32 = 1_000;
/// Characters of the last word of a query from which it also matches longer words.
pub const PREFIX_CHARS_MIN: usize = 2;

/// A query over the texts of the catalogue. An item matches when its text has all phrases, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextQuery {
    phrases: Vec<Phrase>,
}

/// Words that stand next to each other in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// Folded words, at least one.
    pub words: Vec<String>,
    /// Whether the last word also matches words that begin with it.
    pub is_prefix: bool,
}

/// One search in the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSearch {
    /// The words to find.
    pub query: TextQuery,
    /// Ids of the items among which the search finds matches; all items when absent.
    pub only: Option<Arc<RoaringBitmap>>,
    /// Matches to skip, best first.
    pub skip: u32,
    /// Matches to return at most.
    pub limit: u32,
}

impl TextSearch {
    /// The items of `only` as one bit per id, the lowest bit of the first byte for id 0.
    #[must_use]
    pub fn only_bits(&self) -> Option<Vec<u8>> {
        let only = self.only.as_deref()?;
        let mut bytes = vec![0; only.max().map_or(0, |last| last as usize / 8 + 1)];
        for id in only {
            bytes[id as usize / 8] |= 1 << (id % 8);
        }
        Some(bytes)
    }
}

/// A match of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchHit {
    /// Id of the matching item.
    pub item: ItemId,
    /// Relevance, higher is better; its scale depends on the store and the query.
    pub score: f64,
}

impl TextQuery {
    /// Reads a query; `None` without any word. Text in double quotes is a phrase, and each other run without spaces is one,
    /// too. The last word outside of quotes matches as a prefix from [`PREFIX_CHARS_MIN`] characters on. A quote that is
    /// never closed ends at the end.
    #[must_use]
    pub fn parse(text: &str) -> Option<TextQuery> {
        let mut phrases = Vec::new();
        for (index, part) in text.split(is_quote).enumerate() {
            let is_quoted = index % 2 == 1;
            let runs: Vec<&str> = if is_quoted { vec![part] } else { part.split_whitespace().collect() };
            for run in runs {
                let words = words(run);
                // A word of a script without spaces is one character, so it is whole already.
                let is_prefix = !is_quoted && words.last().is_some_and(|word| word.chars().count() >= PREFIX_CHARS_MIN);
                if !words.is_empty() {
                    phrases.push(Phrase { words, is_prefix });
                }
            }
        }
        let last = phrases.len().checked_sub(1)?;
        for phrase in &mut phrases[..last] {
            phrase.is_prefix = false;
        }
        Some(TextQuery { phrases })
    }

    /// Whether and how often a text has the phrases, given its folded words, separated by single spaces.
    #[must_use]
    pub fn matched(&self, words: &str) -> Option<Matched> {
        let words: Vec<&str> = words.split(' ').collect();
        let count = |phrase: &Phrase| words.windows(phrase.words.len()).filter(|run| phrase.is_at(run)).count();
        let counts: Vec<usize> = self.phrases.iter().map(count).collect();
        (!counts.contains(&0)).then_some(Matched { counts, length: words.len() })
    }

    /// The phrases in their order, at least one.
    #[must_use]
    pub fn phrases(&self) -> &[Phrase] {
        &self.phrases
    }
}

impl Phrase {
    /// Whether words are those of the phrase; `run` has their number.
    fn is_at(&self, run: &[&str]) -> bool {
        let Some(((last, begin), (last_word, words))) = run.split_last().zip(self.words.split_last()) else {
            return false;
        };
        let ends = if self.is_prefix { last.starts_with(last_word.as_str()) } else { last == last_word };
        ends && begin == words
    }
}

/// The phrases of a query in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// How often the text has each phrase, at least once.
    counts: Vec<usize>,
    /// Words of the text.
    length: usize,
}

impl Matched {
    /// Relevance of each text: bm25 with the usual constants, relative to the mean length of these texts. The rarity of words
    /// does not count, since each match has all of them.
    ///
    /// Source: Robertson and Zaragoza, *The probabilistic relevance framework: BM25 and beyond*, 2009, equation 3.15.
    #[must_use]
    pub fn relevance(all: &[Matched]) -> Vec<f64> {
        const SATURATION: f64 = 1.2;
        const LENGTH_SHARE: f64 = 0.75;
        let mean = all.iter().map(|one| one.length).sum::<usize>() as f64 / all.len().max(1) as f64;
        let score = |one: &Matched| {
            let damping = SATURATION * (1.0 - LENGTH_SHARE + LENGTH_SHARE * one.length as f64 / mean.max(1.0));
            one.counts
                .iter()
                .map(|count| *count as f64)
                .map(|count| count * (SATURATION + 1.0) / (count + damping))
                .sum()
        };
        all.iter().map(score).collect()
    }
}

/// The folded words of a text with their positions, from 1; at most [`WORDS_MAX`].
#[must_use]
pub fn word_positions(text: &str) -> BTreeMap<String, Vec<u16>> {
    let mut found: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    for (word, position) in words(text).into_iter().zip(1..) {
        found.entry(word).or_default().push(position);
    }
    found
}

/// The folded words of a text, in order; at most [`WORDS_MAX`].
///
/// Folding removes compatibility forms (NFKD), accents and case, and spells letters like `ß`, `æ` and `ø` in basic letters.
/// Each character of a script without spaces between words (Han, kana, Thai, Lao, Khmer, Burmese) is a word.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut chars = 0;
    for folded in folded(text).nfc() {
        if found.len() >= WORDS_MAX {
            return found;
        }
        let is_single = is_unspaced(folded);
        let is_inside = folded.is_alphanumeric() || is_combining_mark(folded);
        if (is_single || !is_inside) && !word.is_empty() {
            found.push(std::mem::take(&mut word));
            chars = 0;
        }
        if !is_inside {
            continue;
        }
        if chars < WORD_CHARS_MAX {
            word.push(folded);
            chars += 1;
        }
        if is_single {
            found.push(std::mem::take(&mut word));
            chars = 0;
        }
    }
    if !word.is_empty() && found.len() < WORDS_MAX {
        found.push(word);
    }
    found
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.nfkd().filter(|one| !is_accent(*one)).flat_map(char::to_lowercase).flat_map(|one| {
        let (first, second) = match one {
            'ß' => ('s', Some('s')),
            'æ' => ('a', Some('e')),
            'œ' => ('o', Some('e')),
            'þ' => ('t', Some('h')),
            'ø' => ('o', None),
            'đ' | 'ð' => ('d', None),
            'ł' => ('l', None),
            'ħ' => ('h', None),
            'ı' => ('i', None),
            'ς' => ('σ', None),
            other => (other, None),
        };
        std::iter::once(first).chain(second)
    })
}

fn is_quote(one: char) -> bool {
    matches!(one, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}')
}

/// Marks that a reader leaves out: accents of Latin, Greek and Cyrillic, vowel points of Hebrew and Arabic. Vowel signs of other
/// scripts are letters.
fn is_accent(one: char) -> bool {
    matches!(one, '\u{0300}'..='\u{036f}' | '\u{0591}'..='\u{05c7}' | '\u{064b}'..='\u{0652}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

fn is_unspaced(one: char) -> bool {
    matches!(one, '\u{0e01}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3041}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
        && (one.is_alphanumeric() || is_combining_mark(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded() {
        for (text, expected) in [
            ("Ein Café in MÜNCHEN", "ein cafe in munchen"),
            ("Straße, Œuvre & Ærø", "strasse oeuvre aero"),
            ("ΣΊΣΥΦΟΣ σίσυφος", "σισυφοσ σισυφοσ"),
            ("İstanbul ısı", "istanbul isi"),
            ("ﬁrst ½ ２０２６", "first 1 2 2026"),
            ("rock-n-roll don't C++ #tag @name", "rock n roll don t c tag name"),
            ("東京タワー Go", "東 京 タ ワ ー go"),
            ("がか", "が か"),
            ("हिन्दी भाषा", "हिन्दी भाषा"),
            ("שָׁלוֹם", "שלום"),
            ("한국 🌊 ok", "한국 ok"),
            ("OR NOT \"a* AND\" NEAR(b) {c}:d^2 'x' --;", "or not a and near b c d 2 x"),
            ("  \u{a0}\t\n ", ""),
        ] {
            assert_eq!(words(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn words_and_texts_are_bounded() {
        let long = "ß".repeat(100);
        assert_eq!(words(&long), ["s".repeat(WORD_CHARS_MAX)]);
        assert_eq!(words(&"a ".repeat(20_000)).len(), WORDS_MAX);
        assert_eq!(word_positions("b a b"), [("a".into(), vec![2]), ("b".into(), vec![1, 3])].into());
    }

    /// Each phrase as text; a prefix ends with a star.
    fn parsed(text: &str) -> Vec<String> {
        let query = TextQuery::parse(text);
        let phrase = |phrase: &Phrase| phrase.words.join(" ") + if phrase.is_prefix { "*" } else { "" };
        query.iter().flat_map(|query| query.phrases().iter().map(phrase)).collect()
    }

    #[test]
    fn queries_have_plain_words_quoted_phrases_and_a_last_prefix() {
        for (text, expected) in [
            ("grey heron", vec!["grey", "heron*"]),
            ("grey h", vec!["grey", "h"]),
            ("\"Grey heron\" riv", vec!["grey heron", "riv*"]),
            ("riv \"grey heron\"", vec!["riv", "grey heron"]),
            ("\u{201e}grey heron\u{201c}", vec!["grey heron"]),
            ("grey \"heron stands", vec!["grey", "heron stands"]),
            ("rock-n-roll", vec!["rock n roll*"]),
            ("a\"b c\"d", vec!["a", "b c", "d"]),
            ("東京", vec!["東 京"]),
            ("heron -", vec!["heron*"]),
            ("a* OR b:c NEAR/2", vec!["a", "or", "b c", "near 2"]),
            ("", vec![]),
            ("\"\" -- * ' \"", vec![]),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }
}
