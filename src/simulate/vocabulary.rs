//! The words of the simulated posts: twelve topics of four themes each, read from `vocabulary.tsv`.
//!
//! Invariant: the order of lines decides which text a seed gives. Any `doing` of a theme goes before any of its `things`
//! ("I `doing` `thing`"), and a `detail` is a whole clause. All words are invented. Absent on purpose: choosing words; that
//! is `text`.

use std::sync::LazyLock;

/// Name and themes of a topic.
#[derive(Default)]
pub(super) struct TopicWords {
    pub name: &'static str,
    pub themes: Vec<ThemeWords>,
}

/// The words of one theme.
#[derive(Default)]
pub(super) struct ThemeWords {
    pub name: &'static str,
    /// Noun phrases, the objects of a sentence.
    pub things: Vec<&'static str>,
    /// Actions on a thing: first person, past tense.
    pub doings: Vec<&'static str>,
    /// Clauses without a capital letter and a full stop.
    pub details: Vec<&'static str>,
}

/// All topics, in the order of `Topic::ALL`.
pub(super) static TOPICS: LazyLock<Vec<TopicWords>> = LazyLock::new(|| parse(include_str!("vocabulary.tsv")));

/// Reads `topic`, `theme`, `part` and `words` by tabs; lines of one theme stand together.
fn parse(text: &'static str) -> Vec<TopicWords> {
    let mut topics: Vec<TopicWords> = Vec::new();
    for line in text.lines().skip(1) {
        let mut cells = line.split('\t');
        let mut cell = || cells.next().unwrap_or_default();
        let (topic, theme, part, words) = (cell(), cell(), cell(), cell());
        if topics.last().is_none_or(|last| last.name != topic) {
            topics.push(TopicWords { name: topic, ..TopicWords::default() });
        }
        let Some(TopicWords { themes, .. }) = topics.last_mut() else { continue };
        if themes.last().is_none_or(|last| last.name != theme) {
            themes.push(ThemeWords { name: theme, ..ThemeWords::default() });
        }
        let Some(theme) = themes.last_mut() else { continue };
        match part {
            "thing" => theme.things.push(words),
            "doing" => theme.doings.push(words),
            _ => theme.details.push(words),
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_theme_has_all_its_words() {
        assert_eq!(TOPICS.len(), 12);
        for topic in TOPICS.iter() {
            assert_eq!(topic.themes.len(), 4, "{}", topic.name);
            for theme in &topic.themes {
                let counts = [theme.things.len(), theme.doings.len(), theme.details.len()];
                assert_eq!(counts, [8, 6, 6], "{}, {}", topic.name, theme.name);
            }
        }
        let text = include_str!("vocabulary.tsv");
        assert!(text.lines().skip(1).all(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            cells.len() == 4 && matches!(cells[2], "thing" | "doing" | "detail") && !cells.contains(&"")
        }));
    }
}
