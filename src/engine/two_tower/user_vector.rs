//! User vector cache: the user's vector by the two-tower model, computed from attributes and recent interactions.
//!
//! Invariant: a cached vector equals a recomputed one, because time is rounded before the model reads it. A vector of
//! another model version, history or attributes is never returned.
//! Deliberately absent: learned state. The cache is not part of a snapshot, and user states compare equal whatever it
//! holds.

use std::sync::Arc;

use crate::domain::ids::{ModelVersion, Seq};
use crate::domain::time::{MINUTE_MS, Millis, SECOND_MS};
use crate::engine::learners::person::history::{Past, Sign};
use crate::engine::two_tower::{Step, TOWER_HISTORY_MAX, Tower, TowerVector};

/// Bounds of the rounding of time: the time since the user's last step is rounded in steps of an eighth of it.
const STEP_MS_MIN: i64 = SECOND_MS;
const STEP_MS_MAX: i64 = 10 * MINUTE_MS;

/// A cached vector and the inputs that it was computed from.
#[derive(Clone, Debug)]
struct Kept {
    version: ModelVersion,
    revised: u64,
    seq: Seq,
    at: Millis,
    vector: TowerVector,
}

/// User attributes and the cached user vector.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserVectorCache {
    attributes: Option<Arc<str>>,
    kept: Option<Box<Kept>>,
}

/// Always equal: the cache is not part of the learned state.
impl PartialEq for UserVectorCache {
    fn eq(&self, _: &UserVectorCache) -> bool {
        true
    }
}

impl UserVectorCache {
    /// Sets the user's attributes, a JSON object as text; a change invalidates the cached vector.
    pub fn set_attributes(&mut self, attributes: Option<Arc<str>>) {
        if self.attributes != attributes {
            *self = UserVectorCache { attributes, kept: None };
        }
    }

    /// The user's attributes, a JSON object as text.
    #[must_use]
    pub fn attributes(&self) -> Option<&Arc<str>> {
        self.attributes.as_ref()
    }

    /// The user vector at `now`; `history` is ordered from old to new and ends with entry `seq`. Computes it if the
    /// cache is stale.
    #[must_use]
    pub fn vector<'a>(
        &self,
        tower: &Tower,
        seq: Seq,
        history: impl DoubleEndedIterator<Item = &'a Past> + Clone,
        now: Millis,
    ) -> TowerVector {
        let at = rounded(now, history.clone().map(|past| past.at).max());
        match &self.kept {
            Some(kept) if kept.is(tower, seq, at) => kept.vector,
            _ => self.encode(tower, history, at),
        }
    }

    /// Refreshes the cached user vector for `now`, unless it is valid.
    pub fn refresh<'a>(
        &mut self,
        tower: &Tower,
        seq: Seq,
        history: impl DoubleEndedIterator<Item = &'a Past> + Clone,
        now: Millis,
    ) {
        let at = rounded(now, history.clone().map(|past| past.at).max());
        if self.kept.as_ref().is_none_or(|kept| !kept.is(tower, seq, at)) {
            let vector = self.encode(tower, history, at);
            let (version, revised) = (tower.version(), tower.revised());
            self.kept = Some(Box::new(Kept { version, revised, seq, at, vector }));
        }
    }

    fn encode<'a>(&self, tower: &Tower, history: impl DoubleEndedIterator<Item = &'a Past>, at: Millis) -> TowerVector {
        let steps = steps(tower, history, tower.model().history().min(TOWER_HISTORY_MAX));
        tower.model().person(self.attributes.as_deref(), &steps, at)
    }
}

impl Kept {
    fn is(&self, tower: &Tower, seq: Seq, at: Millis) -> bool {
        (self.version, self.revised, self.seq, self.at) == (tower.version(), tower.revised(), seq, at)
    }
}

/// The last `most` items of a history, oldest first. Consecutive interactions with one item are one step, with the time
/// of the last one and the last label that is not neutral.
fn steps<'a, 't>(tower: &'t Tower, history: impl DoubleEndedIterator<Item = &'a Past>, most: usize) -> Vec<Step<'t>> {
    let mut steps: Vec<Step<'t>> = Vec::with_capacity(most);
    let mut newest = None;
    for past in history.rev() {
        let full = steps.len() == most;
        match steps.last_mut().filter(|_| newest == Some(past.item)) {
            Some(step) if step.sign == Sign::Neutral => step.sign = past.sign,
            Some(_) => {}
            None if full => break,
            None => {
                let Some(item) = tower.item(past.item) else { continue };
                newest = Some(past.item);
                steps.push(Step { item, sign: past.sign, at: past.at });
            }
        }
    }
    steps.reverse();
    steps
}

/// `now`, rounded so that the time since the `last` step changes by at most an eighth. A feed that is ranked again a
/// moment later then costs no inference. Never before the last step.
fn rounded(now: Millis, last: Option<Millis>) -> Millis {
    let from = last.unwrap_or_default();
    let gap = now.since(from);
    let step = match last {
        Some(_) => (gap / 8).max(1).ilog2(),
        None => i64::MAX.ilog2(),
    };
    let step = (1_i64 << step).clamp(STEP_MS_MIN, STEP_MS_MAX);
    from.plus(gap - gap % step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ItemId;
    use crate::domain::interactions::Kind;
    use crate::engine::two_tower::{ItemFacts, TOWER_DIM, TwoTower};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Test model that returns its inputs: number of steps, their labels and times, and the length of the attributes.
    #[derive(Debug, Default)]
    struct Witness(u64, AtomicUsize);

    impl TwoTower for Witness {
        fn version(&self) -> ModelVersion {
            ModelVersion(self.0)
        }
        fn history(&self) -> usize {
            3
        }
        fn lacking(&self, _: &ItemFacts<'_>) -> Vec<String> {
            Vec::new()
        }

        fn item(&self, item: &ItemFacts<'_>) -> TowerVector {
            [item.text.len() as f32; TOWER_DIM]
        }
        fn person(&self, attributes: Option<&str>, history: &[Step<'_>], now: Millis) -> TowerVector {
            self.1.fetch_add(1, Ordering::Relaxed);
            let mut vector = [0.0; TOWER_DIM];
            vector[0] = attributes.map_or(0.0, |text| text.len() as f32);
            vector[1] = now.0 as f32;
            for (place, step) in history.iter().enumerate() {
                vector[2 + 3 * place] = step.item[0];
                vector[3 + 3 * place] = f32::from(step.sign as u8);
                vector[4 + 3 * place] = step.at.0 as f32;
            }
            vector
        }
        fn log_odds(&self, dot: f32) -> f32 {
            dot
        }
    }

    fn past(item: u32, sign: Sign, at: i64) -> Past {
        Past { item: ItemId(item), kind: Kind::View, sign, at: Millis(at) }
    }

    fn tower(model: Arc<Witness>) -> Tower {
        let mut tower = Tower::new(model);
        for item in 0..10 {
            let text = "x".repeat(item as usize + 1);
            tower.put(ItemId(item), &ItemFacts { text: &text, ..ItemFacts::default() });
        }
        tower
    }

    /// Steps are the last items, oldest first; consecutive interactions with one item are one step with the last label.
    #[test]
    fn steps_are_items_with_the_last_opinion() {
        use Sign::{Negative, Neutral, Positive};
        let tower = tower(Arc::default());
        let told = |history: &[Past]| -> Vec<(f32, Sign, i64)> {
            steps(&tower, history.iter(), 3).iter().map(|step| (step.item[0], step.sign, step.at.0)).collect()
        };
        for (name, history, expected) in [
            ("nothing", vec![], vec![]),
            ("seen, then liked", vec![past(0, Neutral, 1), past(0, Positive, 2)], vec![(1.0, Positive, 2)]),
            ("liked, then seen", vec![past(0, Positive, 1), past(0, Neutral, 2)], vec![(1.0, Positive, 2)]),
            ("liked, then hidden", vec![past(0, Positive, 1), past(0, Negative, 2)], vec![(1.0, Negative, 2)]),
            (
                "back again later",
                vec![past(0, Positive, 1), past(1, Neutral, 2), past(0, Neutral, 3)],
                vec![(1.0, Positive, 1), (2.0, Neutral, 2), (1.0, Neutral, 3)],
            ),
            (
                "the last three",
                (0..6)
                    .flat_map(|n| [past(n, Neutral, 2 * i64::from(n)), past(n, Positive, 2 * i64::from(n) + 1)])
                    .collect(),
                vec![(4.0, Positive, 7), (5.0, Positive, 9), (6.0, Positive, 11)],
            ),
            ("an item without a vector", vec![past(0, Neutral, 1), past(77, Neutral, 2)], vec![(1.0, Neutral, 1)]),
        ] {
            assert_eq!(told(&history), expected, "{name}");
        }
    }

    /// Time is rounded by at most an eighth of the time since the last step, and never to before it.
    #[test]
    fn time_is_rounded_to_an_eighth() {
        for gap in [0, 1, 999, 8_000, 60_000, 3_600_000, 86_400_000, 86_400_000 * 30] {
            let (last, now) = (Millis(1_000_003), Millis(1_000_003 + gap));
            let at = rounded(now, Some(last));
            let off = now.since(at);
            assert!(at >= last && at <= now, "{gap}");
            assert!(off < STEP_MS_MIN || (off <= gap / 8 && off < STEP_MS_MAX), "{gap}: off by {off}");
        }
        assert_eq!(rounded(Millis(5), Some(Millis(9))), Millis(9), "a step from the future");
        assert_eq!(rounded(Millis(1_234_567), None), Millis(1_200_000));
    }

    /// A cached vector costs no inference and equals a recomputed one; a change of version, history, attributes, item
    /// or time invalidates it.
    #[test]
    fn what_is_kept_is_what_would_be_computed() {
        let model = Arc::new(Witness(1, AtomicUsize::new(0)));
        let mut tower = tower(model.clone());
        let history = [past(1, Sign::Positive, 1_000), past(2, Sign::Neutral, 2_000)];
        let mut cache = UserVectorCache::default();
        let mut looks = 0;
        let mut same = |cache: &mut UserVectorCache,
                        tower: &Tower,
                        model: &Witness,
                        seq: u64,
                        now: i64,
                        fresh: bool,
                        what: &str| {
            let before = model.1.load(Ordering::Relaxed);
            cache.refresh(tower, Seq(seq), history.iter(), Millis(now));
            assert_eq!(model.1.load(Ordering::Relaxed) - before, usize::from(fresh), "{what}");
            looks += 1;
            let kept = cache.vector(tower, Seq(seq), history.iter(), Millis(now));
            let bare = UserVectorCache { attributes: cache.attributes.clone(), kept: None };
            assert_eq!(kept, bare.vector(tower, Seq(seq), history.iter(), Millis(now)), "{what}");
        };
        same(&mut cache, &tower, &model, 1, 50_000, true, "first");
        same(&mut cache, &tower, &model, 1, 50_001, false, "a moment later");
        same(&mut cache, &tower, &model, 1, 90_000, true, "much later");
        same(&mut cache, &tower, &model, 2, 90_000, true, "one entry more");
        cache.set_attributes(Some("{}".into()));
        same(&mut cache, &tower, &model, 2, 90_000, true, "with attributes");
        cache.set_attributes(Some("{}".into()));
        same(&mut cache, &tower, &model, 2, 90_000, false, "with the same attributes");
        tower.put(ItemId(2), &ItemFacts { text: "revised", ..ItemFacts::default() });
        same(&mut cache, &tower, &model, 2, 90_000, true, "an item was revised");
        let next = Arc::new(Witness(2, AtomicUsize::new(0)));
        let tower = self::tower(next.clone());
        same(&mut cache, &tower, &next, 2, 90_000, true, "another version");
        assert_eq!(looks, 8);
    }
}
