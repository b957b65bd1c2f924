//! The flag `--infer-windows gap=N,tail=N`.
//!
//! Invariant: both numbers are at least 0, and the tail is above 0.

use anyhow::Context as _;

/// Reads `gap=N,tail=N`, in time units.
///
/// # Errors
/// The text has another form, or the tail is 0.
pub fn gap_and_tail(text: &str) -> anyhow::Result<(i64, i64)> {
    parsed(text).with_context(|| {
        format!("--infer-windows: `{text}` must have the form gap=18,tail=6, in time units, with a tail above 0")
    })
}

fn parsed(text: &str) -> Option<(i64, i64)> {
    let (mut gap, mut tail) = (None, None);
    for part in text.split(',') {
        let (name, value) = part.split_once('=')?;
        let value = value.parse::<i64>().ok().filter(|value| (0..=1 << 40).contains(value))?;
        match name {
            "gap" if gap.is_none() => gap = Some(value),
            "tail" if tail.is_none() && value > 0 => tail = Some(value),
            _ => return None,
        }
    }
    gap.zip(tail)
}
