//! Reactions of simulated users to a post that they viewed.
//!
//! Invariant: a user who likes a post gives positive feedback; a user who does not mostly gives none.
//! Absent on purpose: the decision to like (`taste`) and the choice of posts (`history`, `bots`).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::domain::interactions::Kind;
use crate::domain::time::MINUTE_MS;

/// Probability of liking below which a post may provoke negative feedback.
const ANNOYING: f64 = 0.12;

/// Kind and dwell time of the reaction; `None` for scrolling on.
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

/// Dwell time: four seconds plus an exponential with mean twenty, at most ten minutes.
fn reading_ms(random: &mut ChaCha8Rng) -> u32 {
    let draw: f64 = random.random_range(f64::EPSILON..1.0);
    (4_000.0 - 20_000.0 * draw.ln()).min(10.0 * MINUTE_MS as f64) as u32
}
