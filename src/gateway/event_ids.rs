//! Ids for events that arrive without one.
//!
//! Invariant: no two ids are equal, also across restarts. Deliberately absent: secrecy; such an id protects nothing.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::ids::Key;

static NEXT: AtomicU64 = AtomicU64::new(1);
// 128 bits from the seed that the operating system gave to this process.
static PROCESS: LazyLock<(u64, u64)> =
    LazyLock::new(|| (RandomState::new().build_hasher().finish(), RandomState::new().build_hasher().finish()));

/// An id that no other event has.
#[must_use]
pub fn fresh() -> Key {
    let (high, low) = *PROCESS;
    let text = format!("{high:016x}{low:016x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed));
    match Key::new(&text) {
        Ok(key) => key,
        Err(_) => unreachable!("50 hexadecimal digits are a key"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn fresh_names_differ() {
        assert_eq!((0..1_000).map(|_| fresh()).collect::<HashSet<_>>().len(), 1_000);
    }
}
