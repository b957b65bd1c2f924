//! Baseline of latent factors: a vector per user and per item, learned online by stochastic gradient descent.
//!
//! The score of an item is its bias plus the dot product of both vectors. A visit is a softmax choice among the items that are
//! available at its time; where these are many, among the visited item and a sample of the others.
//! Invariant: no update reads or changes an unavailable item. Equal seed and rows give equal vectors, on any thread.

use xxhash_rust::xxh3::xxh3_64;

use super::ranker::Ranker;
use crate::domain::interactions::Signals;
use crate::domain::time::Millis;
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;

/// Length of a vector.
const FACTORS: usize = 16;
/// Negatives of a visit, at most.
const NEGATIVES_MAX: usize = 100;
/// Bound of the first values of an item vector. User vectors begin at zero, so that a new user gets the order by bias.
const ITEM_START: f32 = 0.4;
/// Step size of user vectors. A user has few visits, so it is large.
const USER_STEP: f32 = 0.5;
/// Step size of item vectors.
const ITEM_STEP: f32 = 0.1;
/// Step size of biases.
const BIAS_STEP: f32 = 0.05;
/// Shrinkage of a vector per update, relative to its step size.
const DECAY: f32 = 0.01;

type Factors = [f32; FACTORS];

/// A ranker by latent factors.
pub struct LatentFactors<'a> {
    log: &'a Log,
    signals: Signals,
    seed: u64,
    users: Vec<Factors>,
    items: Vec<Factors>,
    biases: Vec<f32>,
    /// Available items, sorted.
    open: Vec<u32>,
    /// Number of learned visits, which seeds the next sample.
    visits: u64,
    /// Scratch: the visited item and its negatives, with their log-odds.
    choice: Vec<(u32, f32)>,
}

impl<'a> LatentFactors<'a> {
    /// A ranker without visits.
    #[must_use]
    pub fn new(log: &'a Log, signals: Signals, seed: u64) -> LatentFactors<'a> {
        let first = |item: usize| {
            let mut factors = [0.0; FACTORS];
            for (place, factor) in factors.iter_mut().enumerate() {
                *factor = ITEM_START * (2.0 * share(hash(seed, item as u64, place as u64)) - 1.0);
            }
            factors
        };
        LatentFactors {
            log,
            signals,
            seed,
            users: vec![[0.0; FACTORS]; log.users.len()],
            items: (0..log.items.len()).map(first).collect(),
            biases: vec![0.0; log.items.len()],
            open: Vec::new(),
            visits: 0,
            choice: Vec::new(),
        }
    }

    fn score(&self, user: &Factors, item: u32) -> f32 {
        self.biases[item as usize] + dot(user, &self.items[item as usize])
    }

    /// Fills `choice` with the visited item and its negatives: all other available items, or a seeded sample of them.
    /// The log-odds of a sampled item include the logarithm of the number of items that it stands for.
    fn gather(&mut self, user: u32, place: usize) {
        let mut choice = std::mem::take(&mut self.choice);
        choice.clear();
        let factors = &self.users[user as usize];
        let target = self.open[place];
        choice.push((target, self.score(factors, target)));
        let others = self.open.len() - 1;
        if others <= NEGATIVES_MAX {
            choice.extend(self.open.iter().filter(|item| **item != target).map(|item| (*item, 0.0)));
        } else {
            let drawn = (0..NEGATIVES_MAX as u64).map(|draw| {
                let index = (share(hash(self.seed ^ self.visits, u64::from(user), draw)) * others as f32) as usize;
                // Skips the place of the visited item.
                let index = index.min(others - 1);
                (self.open[index + usize::from(index >= place)], 0.0)
            });
            choice.extend(drawn);
            choice[1..].sort_unstable_by_key(|(item, _)| *item);
            choice.dedup_by_key(|(item, _)| *item);
        }
        let stands_for = (others as f32 / (choice.len() - 1).max(1) as f32).ln();
        for (item, score) in &mut choice[1..] {
            *score = self.score(factors, *item) + stands_for;
        }
        self.choice = choice;
    }
}

impl Ranker for LatentFactors<'_> {
    fn name(&self) -> &'static str {
        "latent_factors"
    }

    fn is_log_odds(&self) -> bool {
        true
    }

    fn begin(&mut self, _: Millis, edges: &[Edge]) {
        for edge in edges {
            match (self.open.binary_search(&edge.item), edge.opens) {
                (Err(place), true) => self.open.insert(place, edge.item),
                (Ok(place), false) => {
                    self.open.remove(place);
                }
                (Ok(_), true) | (Err(_), false) => {}
            }
        }
    }

    fn scores(&mut self, user: u32, candidates: &[u32], _: Millis, out: &mut Vec<f32>) {
        let factors = &self.users[user as usize];
        out.clear();
        out.extend(candidates.iter().map(|item| self.score(factors, *item)));
    }

    fn learn(&mut self, index: usize) {
        let row = &self.log.rows[index];
        if !row.signal(&self.signals, !self.log.has_presence).is_some_and(|signal| signal.positive) {
            return;
        }
        let Ok(place) = self.open.binary_search(&row.item) else { return };
        self.gather(row.user, place);
        self.visits += 1;
        let largest = self.choice.iter().fold(f32::NEG_INFINITY, |largest, (_, score)| largest.max(*score));
        let total: f32 = self.choice.iter().map(|(_, score)| (score - largest).exp()).sum();
        let user = &mut self.users[row.user as usize];
        let before = *user;
        let mut gradient = [0.0; FACTORS];
        for (place, (item, score)) in self.choice.iter().enumerate() {
            // Derivative of the log loss by the item's log-odds.
            let error = (score - largest).exp() / total - f32::from(u8::from(place == 0));
            let factors = &mut self.items[*item as usize];
            for ((sum, factor), own) in gradient.iter_mut().zip(factors).zip(&before) {
                *sum += error * *factor;
                *factor -= ITEM_STEP * (error * own + error.abs() * DECAY * *factor);
            }
            self.biases[*item as usize] -= BIAS_STEP * error;
        }
        for (own, slope) in user.iter_mut().zip(&gradient) {
            *own -= USER_STEP * (slope + DECAY * *own);
        }
    }
}

fn dot(a: &Factors, b: &Factors) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn hash(seed: u64, a: u64, b: u64) -> u64 {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&a.to_le_bytes());
    bytes[16..].copy_from_slice(&b.to_le_bytes());
    xxh3_64(&bytes)
}

/// A number in [0, 1) from the upper 24 bits, which fit an f32 exactly.
fn share(hash: u64) -> f32 {
    (hash >> 40) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Key;
    use crate::domain::interactions::Kind;
    use crate::replay::log::availability::Availability;
    use crate::replay::log::{Act, LogRow};

    /// Users and items of two blocks: a user of a block visits items of that block. Item `block * 10 + n` is visited
    /// by users of its parity, except by user 0, who never saw items 5 to 9.
    fn blocks() -> Log {
        let (users, items) = (40_u32, 20_u32);
        let mut rows = Vec::new();
        for visit in 0..6_000_u64 {
            let user = (hash(1, visit, 0) % u64::from(users)) as u32;
            let within = (hash(1, visit, 1) % if user == 0 { 5 } else { 10 }) as u32;
            rows.push(LogRow {
                at: Millis(visit as i64),
                user,
                item: user % 2 * 10 + within,
                stay_ms: 0,
                act: Act::Interacted(Kind::Click),
                is_judged: false,
            });
        }
        Log {
            users: (0..users).map(Key::of_number).collect(),
            items: (0..items).map(Key::of_number).collect(),
            about: Vec::new(),
            rows,
            unit_ms: 1,
            availability: Availability::default(),
            has_presence: false,
            has_views: false,
            streams: 0,
        }
    }

    fn opening(item: u32) -> Edge {
        Edge { at: Millis(0), opens: true, item }
    }

    fn learned<'a>(log: &'a Log, open: &[u32], seed: u64) -> LatentFactors<'a> {
        let mut ranker = LatentFactors::new(log, Signals::default(), seed);
        ranker.begin(Millis(0), &open.iter().map(|item| opening(*item)).collect::<Vec<_>>());
        (0..log.rows.len()).for_each(|index| ranker.learn(index));
        ranker
    }

    #[test]
    fn items_of_the_own_block_rank_first_also_those_that_the_user_never_visited() {
        let log = blocks();
        let all: Vec<u32> = (0..20).collect();
        let mut ranker = learned(&log, &all, 1);
        let mut scores = Vec::new();
        for user in 0..40_u32 {
            ranker.scores(user, &all, Millis(0), &mut scores);
            let (own, other) = if user % 2 == 0 { (0..10, 10..20) } else { (10..20, 0..10) };
            let least = own.map(|item: usize| scores[item]).fold(f32::INFINITY, f32::min);
            let most = other.map(|item: usize| scores[item]).fold(f32::NEG_INFINITY, f32::max);
            assert!(least > most, "user {user}: {least} {most}");
        }
    }

    #[test]
    fn unavailable_items_are_neither_learned_nor_compared_with() {
        let log = blocks();
        let open: Vec<u32> = (0..20).filter(|item| item % 3 != 0).collect();
        let (fresh, ranker) = (LatentFactors::new(&log, Signals::default(), 1), learned(&log, &open, 1));
        for item in 0..20 {
            let is_unchanged = fresh.items[item] == ranker.items[item] && fresh.biases[item] == ranker.biases[item];
            assert_eq!(is_unchanged, item % 3 == 0, "item {item}");
        }
    }

    #[test]
    fn a_seed_gives_the_vectors() {
        let log = blocks();
        let all: Vec<u32> = (0..20).collect();
        let [one, again, other] = [1, 1, 2].map(|seed| learned(&log, &all, seed));
        assert_eq!((&one.users, &one.items, &one.biases), (&again.users, &again.items, &again.biases));
        assert_ne!(one.users, other.users);
    }

    #[test]
    fn a_new_user_gets_the_order_by_bias() {
        let log = blocks();
        let all: Vec<u32> = (0..20).collect();
        let mut ranker = learned(&log, &all, 1);
        ranker.users[3] = [0.0; FACTORS];
        let mut scores = Vec::new();
        ranker.scores(3, &all, Millis(0), &mut scores);
        assert_eq!(scores, ranker.biases);
    }
}
