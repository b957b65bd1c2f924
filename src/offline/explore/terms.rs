//! Frequent words and n-grams per label.
//!
//! Invariant: lists are ordered by count, then by term. Memory is bounded: beyond [`DISTINCT_MAX`] distinct terms, those
//! seen once are dropped, and the report says so.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

/// Words of the longest n-gram.
const GRAM_MAX: usize = 3;
/// Distinct n-grams of one length that are counted at a time.
const DISTINCT_MAX: usize = 2_000_000;

/// The frequent n-grams of one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TermLists {
    /// Words per term.
    pub(super) words: usize,
    /// True when rare terms were dropped while counting, so that counts are lower bounds.
    pub(super) pruned: bool,
    /// Terms that are most frequent in accepted texts.
    pub(super) accepted: Vec<Term>,
    /// Terms that are most frequent in rejected texts.
    pub(super) rejected: Vec<Term>,
}

/// A term with its numbers of occurrences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Term {
    pub(super) term: String,
    /// Occurrences in accepted texts.
    pub(super) accepted: u64,
    /// Occurrences in rejected texts.
    pub(super) rejected: u64,
}

/// Stop words of a language, split as texts are: a stop word such as `don't` is also dropped with a curly apostrophe.
pub(super) fn stop_words(language: &str) -> Option<HashSet<String>> {
    let listed = stop_words::lookup(language)?;
    Some(listed.iter().flat_map(|word| words(word)).collect())
}

/// The words of a text in lower case: runs of letters, digits and inner apostrophes.
pub(super) fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace('\u{2019}', "'");
    let runs = lower.split(|c: char| !c.is_alphanumeric() && c != '\'');
    runs.map(|word| word.trim_matches('\'')).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The most frequent n-grams per label, `most` per list. N-grams are of the words that remain without stop words and
/// without single characters, as in scikit-learn's `CountVectorizer`.
pub(super) fn lists(
    texts: &[Vec<String>],
    labels: &[bool],
    stop_words: &HashSet<String>,
    most: usize,
) -> Vec<TermLists> {
    let is_kept = |word: &&String| word.chars().nth(1).is_some() && !stop_words.contains(*word);
    let kept: Vec<Vec<&str>> =
        texts.iter().map(|words| words.iter().filter(is_kept).map(String::as_str).collect()).collect();
    (1..=GRAM_MAX).map(|words| list(&kept, labels, words, most)).collect()
}

fn list(texts: &[Vec<&str>], labels: &[bool], words: usize, most: usize) -> TermLists {
    let mut counts: HashMap<String, [u64; 2]> = HashMap::new();
    let mut pruned = false;
    for (text, accepted) in texts.iter().zip(labels) {
        for gram in text.windows(words) {
            counts.entry(gram.join(" ")).or_default()[usize::from(*accepted)] += 1;
        }
        if counts.len() > DISTINCT_MAX {
            counts.retain(|_, [rejected, accepted]| *rejected + *accepted > 1);
            pruned = true;
        }
    }
    let top = |label: usize| {
        let mut found: Vec<(&String, &[u64; 2])> = counts.iter().filter(|(_, counts)| counts[label] > 0).collect();
        found.sort_unstable_by(|a, b| b.1[label].cmp(&a.1[label]).then_with(|| a.0.cmp(b.0)));
        let term = |(term, counts): (&String, &[u64; 2])| Term {
            term: term.clone(),
            accepted: counts[1],
            rejected: counts[0],
        };
        found.into_iter().take(most).map(term).collect()
    };
    TermLists { words, pruned, accepted: top(1), rejected: top(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_runs_with_inner_apostrophes() {
        for (text, expected) in [
            ("Green leaves, COLD water!", &["green", "leaves", "cold", "water"][..]),
            ("It's 'quoted' — don\u{2019}t", &["it's", "quoted", "don't"]),
            ("größe 3 m²", &["größe", "3", "m²"]),
            ("'' ... ", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn n_grams_are_of_the_words_without_stop_words_and_counted_by_label() {
        let texts = ["the tea of the quay", "tea of quay", "a coffee"].map(words);
        let lists = lists(&texts, &[true, false, false], &stop_words("en").unwrap(), 2);
        let term = |term: &str, accepted, rejected| Term { term: term.to_owned(), accepted, rejected };
        assert_eq!(lists[0].accepted, [term("quay", 1, 1), term("tea", 1, 1)]);
        assert_eq!(lists[0].rejected, [term("coffee", 0, 1), term("quay", 1, 1)]);
        assert_eq!(lists[1].accepted, [term("tea quay", 1, 1)]);
        assert!(lists[2].accepted.is_empty() && lists.iter().all(|list| !list.pruned));
        assert_eq!(stop_words("xx"), None);
    }
}
