//! Cells of a CSV record or a JSON line as checked values, and the split of lines without a header.
//!
//! Invariant: a result is a valid domain value; an error names the expected form.

use std::borrow::Cow;

use super::error::{Wrong, shortened};
use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::items::Embedding;
use crate::domain::text;

/// An error that quotes the cell, shortened, and says which value the column takes.
pub fn unexpected(found: &str, expected: impl Into<String>) -> Wrong {
    Wrong::Value { found: shortened(found), expected: expected.into() }
}

/// Parses an id. A rounded number, such as `9.223372036854776e+18`, may stand for many ids and is an error.
pub fn key(text: &str) -> Result<Key, Wrong> {
    if is_rounded(text) {
        return Err(unexpected(text, "an id, but a rounded number: write ids as whole numbers or as text"));
    }
    Key::new(text).map_err(Wrong::Key)
}

/// Whether the text has the form `1.5e+10`, in which spreadsheets and data frames write large numbers.
fn is_rounded(text: &str) -> bool {
    let Some((digits, exponent)) = text.split_once("e+").or_else(|| text.split_once("E+")) else { return false };
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(exponent)
        && digits.split_once('.').map_or_else(|| all_digits(digits), |(a, b)| all_digits(a) && all_digits(b))
}

/// Checks that a store accepts the text, unchanged.
pub fn storable(text: &str) -> Result<(), Wrong> {
    text::must_be_storable(text).map_err(Wrong::Nul)
}

/// Parses the name of a kind of interaction; the error lists all names.
pub fn kind(text: &str) -> Result<Kind, Wrong> {
    Kind::from_name(text).ok_or_else(|| {
        let names = Kind::ALL.map(Kind::name).join(", ");
        unexpected(text, format!("a kind of interaction ({names})"))
    })
}

/// Parses a flag: 0 or 1, which data frames also write as `1.0` or `True`.
pub fn flag(text: &str) -> Result<bool, Wrong> {
    match text {
        "0" | "false" | "False" | "FALSE" | "f" => return Ok(false),
        "1" | "true" | "True" | "TRUE" | "t" => return Ok(true),
        _ => {}
    }
    match text.parse::<f64>() {
        Ok(0.0) => Ok(false),
        Ok(1.0) => Ok(true),
        _ => Err(unexpected(text, "0 or 1")),
    }
}

/// Parses integer milliseconds, which data frames also write as `60000.0`.
pub fn dwell_ms(text: &str) -> Result<u32, Wrong> {
    let whole = text.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|byte| byte == b'0'));
    let whole = whole.map_or(text, |(whole, _)| whole);
    whole.parse().map_err(|_| unexpected(text, "a duration in whole milliseconds"))
}

/// Parses numbers separated by commas or blanks, in brackets, in braces (as Postgres writes arrays) or in neither.
pub fn embedding(text: &str, dims: &mut Dims) -> Result<Embedding, Wrong> {
    let within = |open: char, close: char| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let inner = within('[', ']').or_else(|| within('{', '}')).unwrap_or(text).trim();
    let expected = "an embedding: a JSON array of numbers, or numbers with blanks between them";
    let mut numbers: Vec<f32> = Vec::new();
    for part in inner.split(',') {
        let mut words = part.split_ascii_whitespace().peekable();
        if words.peek().is_none() {
            return Err(unexpected(text, expected));
        }
        for word in words {
            numbers.push(word.parse().map_err(|_| unexpected(text, expected))?);
        }
    }
    dims.given(numbers)
}

/// Length of all embeddings of one catalogue, including those that will be computed from texts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dims {
    /// Dimension set by the caller, the first embedding or the first text.
    dim: Option<usize>,
    of_texts: Option<usize>,
}

impl Dims {
    /// Starts with a dimension; `None` takes it from the first embedding.
    pub fn of(dim: Option<usize>) -> Dims {
        Dims { dim, of_texts: None }
    }

    /// Sets the dimension of embeddings computed from texts; `None` where texts get none.
    pub fn with_texts_of(self, of_texts: Option<usize>) -> Dims {
        Dims { of_texts, ..self }
    }

    /// Checks a given embedding.
    pub fn given(&mut self, numbers: Vec<f32>) -> Result<Embedding, Wrong> {
        let dim = *self.dim.get_or_insert(numbers.len());
        Embedding::new(numbers, dim).map_err(Wrong::Embedding)
    }

    /// Checks that a text may get an embedding beside the given ones.
    pub fn text(&mut self) -> Result<(), Wrong> {
        let Some(made) = self.of_texts else { return Ok(()) };
        match *self.dim.get_or_insert(made) {
            dim if dim == made => Ok(()),
            dim => Err(Wrong::Mixed { given: dim, made }),
        }
    }
}

/// Separator of cells in a line without a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// One tab between two cells.
    Tabs,
    /// One comma between two cells; a cell may be quoted.
    Commas,
    /// One blank or several.
    Blanks,
}

/// Byte range of a cell in its line, without its quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Byte offset of the first byte of the cell.
    pub start: usize,
    /// Byte offset after the last byte of the cell.
    pub end: usize,
    is_quoted: bool,
}

impl Between {
    /// Guesses the separator from a line: tabs before commas before blanks.
    pub fn of(line: &[u8]) -> Between {
        match (line.contains(&b'\t'), line.contains(&b',')) {
            (true, _) => Between::Tabs,
            (false, true) => Between::Commas,
            (false, false) => Between::Blanks,
        }
    }

    /// The separator's name in an error message.
    pub fn name(self) -> &'static str {
        match self {
            Between::Tabs => "tabs",
            Between::Commas => "commas",
            Between::Blanks => "blanks",
        }
    }

    fn byte(self) -> u8 {
        match self {
            Between::Tabs => b'\t',
            Between::Commas => b',',
            Between::Blanks => b' ',
        }
    }

    /// Splits a line into `cells`. A quoted cell may contain separators.
    pub fn split(self, line: &[u8], cells: &mut Vec<Span>) {
        cells.clear();
        let by = self.byte();
        let mut from = 0;
        loop {
            let rest = &line[from..];
            let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
            let quoted = match rest.get(blanks) {
                Some(b'"') => self.closing_quote(&rest[blanks + 1..]).map(|length| from + blanks + 1 + length),
                _ => None,
            };
            // The next separator after the cell, or the end of the line.
            let end = match quoted {
                Some(quote) => {
                    cells.push(Span { start: from + blanks + 1, end: quote, is_quoted: true });
                    quote + 1 + line[quote + 1..].iter().take_while(|byte| **byte != by).count()
                }
                None => {
                    let end = from + rest.iter().take_while(|byte| **byte != by).count();
                    // Several blanks count as one separator.
                    if self != Between::Blanks || end > from {
                        cells.push(Span { start: from, end, is_quoted: false });
                    }
                    end
                }
            };
            if end >= line.len() {
                return;
            }
            from = end + 1;
        }
    }

    /// Length of the quoted text whose opening quote precedes `rest`. Its closing quote must end the cell.
    fn closing_quote(self, rest: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(found) = rest[at..].iter().position(|byte| *byte == b'"') {
            let quote = at + found;
            // Quotes in tab-separated texts are often unclosed: such a quote ends with its cell.
            if self == Between::Tabs && rest[..quote].contains(&b'\t') {
                return None;
            }
            match rest.get(quote + 1) {
                Some(b'"') => at = quote + 2,
                _ => {
                    let behind = rest[quote + 1..].iter().find(|byte| **byte != b' ' || self == Between::Blanks);
                    return behind.is_none_or(|byte| *byte == self.byte()).then_some(quote);
                }
            }
        }
        None
    }
}

impl Span {
    /// The cell as text, without surrounding blanks and quotes.
    pub fn text(self, line: &[u8]) -> Result<Cow<'_, str>, Wrong> {
        let bytes = line.get(self.start..self.end).unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(|_| Wrong::Encoding)?.trim();
        Ok(if self.is_quoted && text.contains("\"\"") { text.replace("\"\"", "\"").into() } else { text.into() })
    }

    /// The cell as an id; an unbalanced quote is no part of it.
    pub fn key(self, line: &[u8]) -> Result<Key, Wrong> {
        let text = self.text(line)?;
        if !self.is_quoted && text.starts_with('"') {
            return Err(unexpected(&text, "an id: its quote is not closed"));
        }
        key(&text)
    }
}

/// The `N` cells of a line, without surrounding blanks and quotes; or the number of cells found.
pub fn parted<const N: usize>(line: &[u8], by: Between) -> Result<[Span; N], usize> {
    let mut cells = Vec::with_capacity(N);
    by.split(line, &mut cells);
    cells.try_into().map_err(|cells: Vec<Span>| cells.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cells(by: Between, line: &str) -> Vec<String> {
        let mut spans = Vec::new();
        by.split(line.as_bytes(), &mut spans);
        spans.iter().map(|span| span.text(line.as_bytes()).unwrap().into_owned()).collect()
    }

    #[test]
    fn quotes_do_not_belong_to_a_cell_and_hold_it_together() {
        for (by, line, expected) in [
            (Between::Commas, r#""u1", "a,b" ,1"#, &["u1", "a,b", "1"][..]),
            (Between::Commas, r#""say ""hi""",x,"""""#, &[r#"say "hi""#, "x", "\""]),
            (Between::Commas, "a,,b,", &["a", "", "b", ""]),
            (Between::Blanks, r#""tea house"   7 "8""#, &["tea house", "7", "8"]),
            (Between::Tabs, "\"u1\"\t\"Joe's\" bar\t\"x\"\t", &["u1", "\"Joe's\" bar", "x", ""]),
            (Between::Tabs, "\"open\tx\"\ty", &["\"open", "x\"", "y"]),
        ] {
            assert_eq!(cells(by, line), expected, "{line}");
        }
        let open = Span { start: 0, end: 3, is_quoted: false };
        assert!(open.key(b"\"u1").unwrap_err().to_string().contains("quote is not closed"));
    }

    #[test]
    fn a_rounded_number_is_no_id() {
        for (text, good) in [
            ("9.223372036854776e+18", false),
            ("9.22337E+18", false),
            ("1e+20", false),
            ("18446744073709551615", true),
            ("12e7", true),
            ("a.1e+5", true),
            ("1.0", true),
            ("e+5", true),
        ] {
            assert_eq!(key(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn vectors_and_flags_are_read_as_programs_write_them() {
        for text in ["[1, 0.5]", "1 0.5", "{1,0.5}", "[1. 0.5]", "1,0.5", "[ 1 , 0.5 ]"] {
            assert_eq!(embedding(text, &mut Dims::default()).unwrap().to_vec(), [1.0, 0.5], "{text}");
        }
        for (text, part) in [
            ("[]", "is not an embedding"),
            ("[1,,2]", "is not an embedding"),
            ("[1,", "is not an embedding"),
            ("[1, NaN]", "number 1 is not finite"),
            ("[1e400]", "number 0 is not finite"),
        ] {
            assert!(embedding(text, &mut Dims::default()).unwrap_err().to_string().contains(part), "{text}");
        }
        for (text, expected) in
            [("1.0", Some(true)), ("0.0", Some(false)), ("True", Some(true)), ("2", None), ("NaN", None), ("", None)]
        {
            assert_eq!(flag(text).ok(), expected, "{text}");
        }
        assert_eq!((dwell_ms("60000.0").ok(), dwell_ms("1.5").ok(), dwell_ms("-1").ok()), (Some(60_000), None, None));
    }

    proptest! {
        /// Every line is split; without quotes, exactly at its separators.
        #[test]
        fn any_line_is_taken_apart(line in "[ab\", \\t]{0,24}") {
            for by in [Between::Tabs, Between::Commas, Between::Blanks] {
                let mut spans = Vec::new();
                by.split(line.as_bytes(), &mut spans);
                prop_assert!(spans.iter().all(|span| span.start <= span.end && span.end <= line.len()));
                if !line.contains('"') && by != Between::Blanks {
                    prop_assert_eq!(spans.len(), line.matches(by.byte() as char).count() + 1);
                }
            }
        }
    }
}
