//! Embeddings by feature hashing: no model, no download, no training.
//!
//! Invariant: equal texts give equal bits on every machine. Features are hashed as integers and summed in the order of their
//! hashes, and floating point uses only `+ - * / sqrt`, which IEEE 754 rounds exactly. Every text gives a unit vector: the
//! features of a text without words are its symbols, and a blank text has one fixed feature.
//! Absent on purpose: Unicode normalisation (send NFC); stop words and stems, which would favour a language; statistics of a
//! corpus, since an embedding must not change when other items arrive.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{EmbedError, Embedder, checked_dim};
use crate::domain::items::{Embedding, EmbeddingError};

/// Seed of all hashes. Stored embeddings depend on it, so another seed is another embedder.
const SEED: u64 = 0x0065_6464_796c_696e;

/// Families of features. Each has its own seed and its own weight.
#[derive(Clone, Copy)]
enum Family {
    Word = 1,
    ShortWord = 2,
    WordPair = 3,
    Letters = 4,
    Blank = 5,
}

impl Family {
    /// Weight of a family. A word has one `Word`, about one `WordPair` and some fifteen `Letters`, so `Letters` get a small
    /// weight. Words of at most three ASCII letters are mostly grammar.
    fn weight(tag: u64) -> f32 {
        match tag {
            1 => 1.0,
            2 => 0.4,
            3 => 0.5,
            4 => 0.25,
            _ => 1.0,
        }
    }
}

/// Hashes lower-cased words, pairs of neighbouring words, and letter sequences of 3 to 5 into `dim` signed buckets.
///
/// The value of a bucket is `sum sign(h) * weight(family) * sqrt(count)` over its features `h`, then L2-normalised. It uses
/// `sqrt` instead of `1 + ln`, since `ln` differs between machines.
///
/// Source: Weinberger et al., *Feature Hashing for Large Scale Multitask Learning*, ICML 2009.
#[derive(Clone, Copy, Debug)]
pub struct HashingEmbedder {
    dim: usize,
}

impl HashingEmbedder {
    /// An embedder into `dim` numbers; 256 and more keep collisions rare.
    ///
    /// # Errors
    /// [`EmbedError::Setting`] when `dim` is out of range.
    pub fn new(dim: usize) -> Result<HashingEmbedder, EmbedError> {
        Ok(HashingEmbedder { dim: checked_dim(dim)? })
    }

    /// Embedding of one text: `(dim,)`, of norm 1.
    fn vector(&self, text: &str) -> Vec<f32> {
        let mut features = features(text);
        // Sorting by hash groups equal features for counting, and fixes the order of summing.
        features.sort_unstable();
        let mut sums = vec![0.0_f32; self.dim];
        for run in features.chunk_by(|a, b| a == b) {
            let (hash, tag) = run[0];
            let value = Family::weight(tag) * (run.len() as f32).sqrt();
            sums[self.bucket(hash)] += if hash & 1 == 0 { value } else { -value };
        }
        let mut squares = 0.0_f32;
        for sum in &sums {
            squares += sum * sum;
        }
        if squares < 1e-6 {
            // All features cancelled out, which can happen with very few buckets. A hash of the text decides instead.
            let whole = xxh3_64_with_seed(text.as_bytes(), SEED);
            sums.fill(0.0);
            sums[self.bucket(whole)] = 1.0;
            return sums;
        }
        let length = squares.sqrt();
        for sum in &mut sums {
            *sum /= length;
        }
        sums
    }

    /// The high bits choose the bucket, the lowest one the sign.
    fn bucket(&self, hash: u64) -> usize {
        // The product is below `dim`, so the cast loses nothing.
        ((u128::from(hash) * self.dim as u128) >> 64) as usize
    }
}

impl Embedder for HashingEmbedder {
    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let made = |(index, text): (usize, &&str)| {
            let broken = |source: EmbeddingError| EmbedError::Vector { index, model: "hashing".into(), source };
            Embedding::new(self.vector(text), self.dim).map_err(broken)
        };
        texts.iter().enumerate().map(made).collect()
    }
}

/// All features of a text as (hash, family), in reading order, repeated as often as they occur.
fn features(text: &str) -> Vec<(u64, u64)> {
    let mut found = Vec::with_capacity(64 + text.len() * 4);
    let mut add = |family: Family, bytes: &[u8]| {
        let tag = family as u64;
        found.push((xxh3_64_with_seed(bytes, SEED.wrapping_add(tag)), tag));
    };
    let words = words(text);
    let mut marked = String::new();
    let mut starts: Vec<usize> = Vec::new();
    let mut previous: Option<&str> = None;
    for word in &words {
        let short = word.len() <= 3 && word.is_ascii();
        add(if short { Family::ShortWord } else { Family::Word }, word.as_bytes());
        // Words hold no boundary marks, so `<un` occurs only at the beginning of a word.
        marked.clear();
        if let Some(before) = previous {
            marked.push_str(before);
            marked.push('_');
            marked.push_str(word);
            add(Family::WordPair, marked.as_bytes());
            marked.clear();
        }
        previous = Some(word);
        if short {
            continue;
        }
        marked.push('<');
        marked.push_str(word);
        marked.push('>');
        starts.clear();
        starts.extend(marked.char_indices().map(|(at, _)| at));
        starts.push(marked.len());
        for length in 3..=5 {
            for ends in starts.windows(length + 1) {
                add(Family::Letters, &marked.as_bytes()[ends[0]..ends[length]]);
            }
        }
    }
    if found.is_empty() {
        let symbols = text.chars().filter(|c| !c.is_whitespace()).map(|c| {
            let mut buffer = [0_u8; 4];
            xxh3_64_with_seed(c.encode_utf8(&mut buffer).as_bytes(), SEED.wrapping_add(Family::Blank as u64))
        });
        found.extend(symbols.map(|hash| (hash, Family::Blank as u64)));
    }
    if found.is_empty() {
        found.push((xxh3_64_with_seed(b"", SEED.wrapping_add(Family::Blank as u64)), Family::Blank as u64));
    }
    found
}

/// Lower-cased runs of letters and digits; a symbol beyond ASCII and beyond punctuation (an emoji) is a word by itself.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        let punctuation = matches!(c, '\u{80}'..='\u{bf}' | '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}' | '\u{fe00}'..='\u{fe0f}');
        if !c.is_ascii() && !c.is_whitespace() && !punctuation {
            words.push(c.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(text: &str, dim: usize) -> Vec<f32> {
        HashingEmbedder::new(dim).unwrap().embed(&[text]).unwrap()[0].to_vec()
    }

    fn cosine(a: &str, b: &str) -> f32 {
        vector(a, 384).iter().zip(vector(b, 384)).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn the_vector_of_a_text_never_changes() {
        // Pinned bits: stored embeddings and journalled features depend on them.
        let bits = |text| vector(text, 4).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for (text, expected) in [
            ("The river runs fast today", [3193049982, 0, 3205008555, 3209827198]),
            ("Straße, ÉTÉ und 日本語 🌊", [3206937501, 3206937501, 1052619224, 1041744249]),
            ("?!", [0, 0, 0, 1065353216]),
            ("", [0, 3212836864, 0, 0]),
        ] {
            assert_eq!(bits(text), expected, "{text}");
        }
        let long = vector("The river runs fast today. The river runs slow tonight.", 384);
        let hash = long.iter().fold(0, |hash, x| xxh3_64_with_seed(&x.to_bits().to_le_bytes(), hash));
        assert_eq!(hash, 1403951973979828204);
    }

    #[test]
    fn what_reads_alike_lies_close() {
        for (name, a, b, far) in [
            ("case", "Fresh Bread", "fresh bread", "router firmware"),
            ("case beyond ASCII", "ÉTÉ À PARIS", "été à paris", "winter in oslo"),
            ("punctuation", "fresh, bread!", "fresh bread", "router firmware"),
            ("endings", "gardening with tomatoes", "garden tomato", "stadium penalty"),
            ("emoji", "🌊 swell", "🌊 waves", "🎸 chords"),
            ("same words, other order", "a telescope for beginners", "beginners telescope", "sourdough starter"),
        ] {
            assert!(cosine(a, b) > cosine(a, far) + 0.15, "{name}: {} and {}", cosine(a, b), cosine(a, far));
        }
    }

    #[test]
    fn a_text_without_words_still_points_somewhere() {
        for (name, text) in
            [("empty", ""), ("blank", " \t\n"), ("punctuation", "?!..."), ("symbols", "🌊"), ("nul", "\0")]
        {
            let length: f32 = vector(text, 384).iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-5, "{name}");
        }
        assert_eq!(vector("", 64), vector("  ", 64));
        assert_ne!(vector("?", 64), vector("🌊", 64));
    }

    /// Prints the speed: `cargo test --release --lib embed::hashing -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        let text = "Finally got the sourdough starter to double overnight, the crumb is open and the crust sings. Any tips for rye?";
        let texts = vec![text; 20_000];
        let start = std::time::Instant::now();
        let made = HashingEmbedder::new(384).unwrap().embed(&texts).unwrap();
        let each = start.elapsed().as_secs_f64() / made.len() as f64;
        println!("{:.1} us per text of {} bytes, {:.0} texts/s", each * 1e6, text.len(), 1.0 / each);
    }

    proptest! {
        /// Every text gives a finite vector of norm 1 in every dimension, and an equal one again.
        #[test]
        fn every_text_has_one_unit_vector(text in "\\PC{0,80}", dim in 1_usize..500) {
            let found = vector(&text, dim);
            let length: f32 = found.iter().map(|x| x * x).sum();
            prop_assert!((length - 1.0).abs() < 1e-4, "{}", length);
            prop_assert_eq!(found, vector(&text, dim));
        }
    }
}
