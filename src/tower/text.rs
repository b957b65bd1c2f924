//! Surface statistics of a text: lengths, punctuation, repetition.
//!
//! Invariant: results depend on the text alone, not on the locale of the machine; an empty text gives zeros.
//! Absent on purpose: meaning, which comes with the embedding.

/// Names of the statistics, in the order of a model's input.
pub const TEXT_STATISTICS: [&str; 8] = [
    "text_characters",
    "text_words",
    "text_sentences",
    "text_word_length",
    "text_distinct_words",
    "text_upper_case",
    "text_digits",
    "text_marks",
];

/// Statistics of a text, in the order of [`TEXT_STATISTICS`].
///
/// First `ln(1 + n)` of its characters, words and sentences; a run of `.`, `!`, `?` or line feeds ends a sentence.
/// Then the mean number of characters in a word, and the share of distinct words, compared as written. Last the shares
/// of characters that are upper case, digits, and neither letter, digit nor space.
#[must_use]
pub fn statistics(text: &str) -> [f32; TEXT_STATISTICS.len()] {
    let (mut characters, mut upper, mut digits, mut marks, mut sentences) = (0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
    let mut within = false;
    for c in text.chars() {
        characters += 1;
        if c.is_uppercase() {
            upper += 1;
        } else if c.is_numeric() {
            digits += 1;
        } else if !c.is_alphabetic() && !c.is_whitespace() {
            marks += 1;
        }
        if matches!(c, '.' | '!' | '?' | '\n') {
            sentences += u32::from(within);
            within = false;
        } else if !c.is_whitespace() {
            within = true;
        }
    }
    sentences += u32::from(within);
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let (count, letters) = (words.len(), words.iter().map(|word| word.chars().count()).sum::<usize>());
    words.sort_unstable();
    words.dedup();
    let share = |part: u32| part as f32 / characters.max(1) as f32;
    let per_word = |sum: usize| sum as f32 / count.max(1) as f32;
    [
        (characters as f32).ln_1p(),
        (count as f32).ln_1p(),
        (sentences as f32).ln_1p(),
        per_word(letters),
        per_word(words.len()),
        share(upper),
        share(digits),
        share(marks),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_say_what_can_be_counted() {
        let [characters, words, sentences, length, distinct, upper, digits, marks] = statistics("Go go, go! 42?");
        assert_eq!(characters, 14_f32.ln_1p());
        assert_eq!((words, sentences), (4_f32.ln_1p(), 2_f32.ln_1p()));
        assert_eq!(length, 11.0 / 4.0);
        assert_eq!(distinct, 1.0);
        assert_eq!((upper, digits, marks), (1.0 / 14.0, 2.0 / 14.0, 3.0 / 14.0));
        assert_eq!(statistics("go go")[4], 0.5);
        assert_eq!(statistics(""), [0.0; 8]);
    }
}
