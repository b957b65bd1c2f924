//! Progress bars on standard error.
//!
//! Invariant: a bar appears only where standard error is a terminal; indicatif ensures that.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` steps, with the remaining time.
#[must_use]
pub fn steps(what: &str, total: u64) -> ProgressBar {
    styled(total, what, "{msg} [{bar:40}] {pos}/{len} ({eta} left)")
}

/// A bar over the bytes of files; [`watch`] sets its length and position.
#[must_use]
pub fn bytes(what: &str) -> ProgressBar {
    styled(0, what, "{msg} [{bar:40}] {bytes}/{total_bytes} ({eta} left)")
}

/// A counter without an end, with the rate per second.
#[must_use]
pub fn count(what: &str) -> ProgressBar {
    styled(0, what, "{msg} {pos} ({per_sec})")
}

fn styled(total: u64, what: &str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_message(what.to_owned())
}
