//! Names for events that their client did not name.
//!
//! Invariant: no two are equal, also across restarts. Absent on purpose: secrecy; nobody may guard anything by such a
//! name.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::ids::Key;

static NEXT: AtomicU64 = AtomicU64::new(1);
// Two times 64 bits from the seed that the operating system gave to this process.
static PROCESS: LazyLock<(u64, u64)> =
    LazyLock::new(|| (RandomState::new().build_hasher().finish(), RandomState::new().build_hasher().finish()));

/// A name that nothing else has.
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
