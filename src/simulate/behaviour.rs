//! What one does with a post that one has looked at.
//!
//! Invariant: who likes a post says so in some positive way; who does not mostly says nothing. Absent on purpose: whether
//! they like it (`taste`), and which posts they look at (`history`, `bots`).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::domain::interactions::Kind;
use crate::domain::time::MINUTE_MS;

/// Below this probability of liking it, a post may annoy.
const ANNOYING: f64 = 0.12;

/// Kind and dwell of the reaction, `None` when they just scroll on.
pub(super) fn reaction(random: &mut ChaCha8Rng, likes: bool, probability: f64) -> Option<(Kind, Option<u32>)> {
    let draw: f64 = random.random_range(0.0..1.0);
    if likes {
        return Some(match draw {
            ..0.55 => (Kind::Like, None),
            ..0.65 => (Kind::Share, None),
            ..0.73 => (Kind::Reply, None),
            ..0.80 => (Kind::Click, None),
            _ => (Kind::Read, Some(reading_ms(random))),
        });
    }
    match draw {
        ..0.05 if probability < ANNOYING => Some((Kind::Hide, None)),
        ..0.20 => Some((Kind::Skip, None)),
        ..0.28 => Some((Kind::Read, Some(random.random_range(300..2_900)))),
        ..0.40 => Some((Kind::View, None)),
        _ => None,
    }
}

/// Four seconds and an exponential rest of twenty, at most ten minutes.
fn reading_ms(random: &mut ChaCha8Rng) -> u32 {
    let draw: f64 = random.random_range(f64::EPSILON..1.0);
    (4_000.0 - 20_000.0 * draw.ln()).min(10.0 * MINUTE_MS as f64) as u32
}
