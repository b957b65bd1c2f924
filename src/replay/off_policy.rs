//! Judges policies on a log of impressions: uniform, most popular, and the engine itself.
//!
//! Invariant: policies learn from the first part of the log by time and are judged on the rest, all on the same rows;
//! the engine's is `UserState::rank`, the very code that serves. Same log and seed, same figures.
//! Absent on purpose: slates. The log's propensity is that of one item at one position, so a policy is judged by what
//! it would choose for a position, not by whole lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::formats::open_bandit::{Impression, OpenBandit};
use super::offline::Offline;
use super::ope::{Choice, Estimates, Options, Target, estimate};
use crate::domain::feeds::Ranking;
use crate::domain::ids::{ItemId, Key, UserId};
use crate::domain::interactions::{Interaction, Kind};
use crate::domain::items::Embedding;
use crate::domain::time::Millis;
use crate::engine::coordinator::{Draft, ItemWrite};
use crate::engine::rank::Ask;
use crate::engine::rank::explore::log_sum_exp;
use crate::engine::settings::LearnSettings;
use crate::engine::user::{UserEvent, UserState};

/// How to judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judging {
    /// Part of the log that policies learn from, in (0, 1).
    pub split: f64,
    /// See [`Options::clip`].
    pub clip: Option<f64>,
    /// See [`Options::folds`].
    pub folds: usize,
    /// See [`Options::seed`].
    pub seed: u64,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// `open-bandit`.
    pub format: &'static str,
    /// `off-policy`.
    pub protocol: &'static str,
    /// As given.
    pub seed: u64,
    /// Impressions.
    pub events: u64,
    /// Of these, learned from.
    pub learned_events: u64,
    /// Of these, judged on.
    pub test_events: u64,
    /// Items in the log.
    pub items: u64,
    /// Distinct people, as far as the log tells them apart.
    pub contexts: u64,
    /// By policy, in the order of the table.
    pub policies: Vec<Judged>,
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Its name.
    pub policy: &'static str,
    /// What it would earn: clicks per impression.
    #[serde(flatten)]
    pub estimates: Estimates,
}

/// Why a log cannot be judged on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgingError {
    /// Nothing on one side of the split.
    #[error("--split {learned}:{judged}: both parts of the log need impressions")]
    Empty {
        /// Impressions to learn from.
        learned: usize,
        /// Impressions to judge on.
        judged: usize,
    },
    /// The engine's vectors could not be made.
    #[error("item {0} has no features that an embedding could be made of")]
    Features(usize),
}

/// Judges all policies.
///
/// # Errors
/// [`JudgingError`].
pub fn judge(log: &OpenBandit, settings: &Arc<LearnSettings>, judging: &Judging) -> Result<Report, JudgingError> {
    let all = &log.impressions;
    let split = (all.len() as f64 * judging.split).round() as usize;
    let (past, rest) = all.split_at(split.min(all.len()));
    if past.is_empty() || rest.is_empty() {
        return Err(JudgingError::Empty { learned: past.len(), judged: rest.len() });
    }
    let choices: Vec<Choice> = rest
        .iter()
        .map(|one| Choice {
            context: one.context,
            position: one.position,
            action: one.item,
            rewarded: one.clicked,
            propensity: one.propensity,
        })
        .collect();
    let items = known_items(log);
    let options = Options { actions: log.items, clip: judging.clip, folds: judging.folds, seed: judging.seed };
    let share = 1.0 / items.len().max(1) as f64;
    let uniform = |_: usize, _: usize, action: usize| if items.binary_search(&action).is_ok() { share } else { 0.0 };
    let best = most_popular(past, &items, log.positions);
    let popular = |_: usize, position: usize, action: usize| f64::from(u8::from(best[position] == action));
    let table = engine_policy(log, past, rest, &items, settings)?;
    let engine =
        |context: usize, _: usize, action: usize| table.get(&context).map_or(0.0, |chances: &Vec<f64>| chances[action]);
    let policies: [(&'static str, Target<'_>); 4] = [
        ("logging", Target::Logging),
        ("uniform", Target::Policy(&uniform)),
        ("popular", Target::Policy(&popular)),
        ("engine", Target::Policy(&engine)),
    ];
    let judged = policies
        .into_iter()
        .filter_map(|(policy, target)| Some(Judged { policy, estimates: estimate(&choices, target, &options)? }));
    Ok(Report {
        format: "open-bandit",
        protocol: "off-policy",
        seed: judging.seed,
        events: all.len() as u64,
        learned_events: past.len() as u64,
        test_events: rest.len() as u64,
        items: items.len() as u64,
        contexts: log.contexts.len() as u64,
        policies: judged.collect(),
    })
}

/// Items of the log and of its table, sorted: what a policy may choose from.
fn known_items(log: &OpenBandit) -> Vec<usize> {
    let mut items: Vec<usize> =
        log.impressions.iter().map(|one| one.item).chain(log.item_features.keys().copied()).collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// By position the item with the highest rate of clicks, shrunk towards the rate of all by 50 impressions, since rates
/// of a few impressions say little; equal ones by number.
fn most_popular(past: &[Impression], items: &[usize], positions: usize) -> Vec<usize> {
    const PRIOR: f64 = 50.0;
    let rate = past.iter().filter(|one| one.clicked).count() as f64 / past.len().max(1) as f64;
    let mut counts: BTreeMap<(usize, usize), (f64, f64)> = BTreeMap::new();
    for one in past {
        let (shown, clicked) = counts.entry((one.position, one.item)).or_default();
        *shown += 1.0;
        *clicked += f64::from(u8::from(one.clicked));
    }
    let shrunk = |position: usize, item: usize| {
        let (shown, clicked) = counts.get(&(position, item)).copied().unwrap_or_default();
        (clicked + PRIOR * rate) / (shown + PRIOR)
    };
    let best = |position: usize| {
        let better = |a: usize, b: usize| if shrunk(position, b) > shrunk(position, a) { b } else { a };
        items.iter().copied().reduce(better).unwrap_or(0)
    };
    (0..positions).map(best).collect()
}

/// Probabilities of all items by context: what the engine, having learned the past as clicks and skips, puts on top of
/// the `model` feed. People are told apart by their context; whoever is only met later starts with nothing learned.
fn engine_policy(
    log: &OpenBandit,
    past: &[Impression],
    rest: &[Impression],
    items: &[usize],
    settings: &Arc<LearnSettings>,
) -> Result<BTreeMap<usize, Vec<f64>>, JudgingError> {
    let vectors = embeddings(log, items)?;
    let dim = vectors.first().map_or(1, |x| x.len());
    let mut offline = Offline::new(dim, settings.clone());
    let start = past.first().map_or(Millis(0), |one| one.at);
    let topic = Key::of_number(0);
    let drafts: Vec<Draft> = items
        .iter()
        .zip(vectors)
        .map(|(item, embedding)| Draft {
            key: Key::of_number(*item as u32),
            author: None,
            topics: Some(vec![topic.clone()]),
            text: Some(item.to_string().into()),
            embedding: Some(embedding),
            created: Some(start),
            windows: None,
        })
        .collect();
    // A replacing write of a complete draft is never refused.
    let written = offline.items(drafts, ItemWrite::Replace, start);
    let ids: BTreeMap<usize, ItemId> =
        items.iter().copied().zip(written.into_iter().filter_map(Result::ok).map(|written| written.id)).collect();
    offline.recentre(start);
    let person =
        |offline: &mut Offline, context: usize, at: Millis| offline.person(&Key::of_number(context as u32), None, at);
    for (n, one) in past.iter().enumerate() {
        let user = person(&mut offline, one.context, one.at);
        let kind = if one.clicked { Kind::Click } else { Kind::Skip };
        let Some(item) = ids.get(&one.item).copied() else { continue };
        let id = Key::of_number(n as u32);
        let interaction = Interaction { id, item, kind, dwell_ms: None, at: one.at, shown: None, passed: Vec::new() };
        offline.act(user, UserEvent::Interacted(interaction), one.at);
        offline.take_writes();
    }
    let now = rest.first().map_or(start, |one| one.at);
    let numbers: BTreeMap<ItemId, usize> = ids.into_iter().map(|(number, id)| (id, number)).collect();
    let temperature = f64::from(settings.rank.temperature);
    let contexts: std::collections::BTreeSet<usize> = rest.iter().map(|one| one.context).collect();
    let nobody = UserState::new(UserId(u32::MAX));
    let of_context = |context: usize| {
        let user = offline.find_person(Key::of_number(context as u32).as_str());
        let state = user.and_then(|user| offline.state(user)).unwrap_or(&nobody);
        let ask = Ask { ranking: Ranking::Model, limit: items.len(), explain: false };
        let feed = state.rank(offline.world(), now, ask);
        let mut chances = vec![0.0; log.items];
        if temperature <= 0.0 {
            if let Some(number) = feed.first().and_then(|one| numbers.get(&one.item)) {
                chances[*number] = 1.0;
            }
        } else {
            let all = log_sum_exp(feed.iter().map(|one| f64::from(one.score) / temperature));
            for one in &feed {
                if let Some(number) = numbers.get(&one.item) {
                    chances[*number] = (f64::from(one.score) / temperature - all).exp();
                }
            }
        }
        (context, chances)
    };
    Ok(contexts.into_iter().map(of_context).collect())
}

/// An embedding per item: its number features standardised, each category and the item itself an axis of its own.
fn embeddings(log: &OpenBandit, items: &[usize]) -> Result<Vec<Embedding>, JudgingError> {
    let columns = log.item_features.values().map(Vec::len).max().unwrap_or(0);
    let cell = |item: usize, column: usize| {
        log.item_features.get(&item).and_then(|features| features.get(column)).map_or("", String::as_str)
    };
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); items.len()];
    for column in 0..columns {
        let numbers: Option<Vec<f64>> = items.iter().map(|item| cell(*item, column).parse().ok()).collect();
        if let Some(numbers) = numbers.filter(|numbers| numbers.iter().all(|x| x.is_finite())) {
            let n = numbers.len() as f64;
            let mean = numbers.iter().sum::<f64>() / n;
            let deviation = (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-9);
            rows.iter_mut().zip(numbers).for_each(|(row, x)| row.push(((x - mean) / deviation) as f32));
        } else {
            let mut categories: Vec<&str> = items.iter().map(|item| cell(*item, column)).collect();
            categories.sort_unstable();
            categories.dedup();
            for (row, item) in rows.iter_mut().zip(items) {
                row.extend(categories.iter().map(|category| f32::from(u8::from(*category == cell(*item, column)))));
            }
        }
    }
    for (at, row) in rows.iter_mut().enumerate() {
        row.extend((0..items.len()).map(|other| f32::from(u8::from(other == at))));
    }
    let dim = rows.first().map_or(1, Vec::len);
    let checked = |(row, item): (Vec<f32>, &usize)| Embedding::new(row, dim).map_err(|_| JudgingError::Features(*item));
    rows.into_iter().zip(items).map(checked).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::rank::stage::RankSettings;
    use rand::{RngExt, SeedableRng};

    /// Two kinds of people, each with a taste of their own in items of two kinds; shown at random.
    fn log(rows: usize) -> OpenBandit {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(9);
        let impressions = (0..rows)
            .map(|n| {
                let (context, item) = (random.random_range(0..2), random.random_range(0..6));
                let chance = if item % 2 == context { 0.5 } else { 0.05 };
                Impression {
                    at: Millis(n as i64 * 1_000),
                    context,
                    item,
                    position: random.random_range(1..3),
                    propensity: 1.0 / 6.0,
                    clicked: random.random::<f64>() < chance,
                }
            })
            .collect();
        OpenBandit {
            impressions,
            contexts: vec![vec!["a".into()], vec!["b".into()]],
            item_features: (0..6).map(|n| (n, vec![format!("{}.5", n / 2), ["x", "y"][n % 2].into()])).collect(),
            items: 6,
            positions: 3,
        }
    }

    fn judging() -> Judging {
        Judging { split: 0.5, clip: None, folds: 4, seed: 1 }
    }

    #[test]
    fn the_engine_earns_more_than_chance_where_people_differ() {
        let log = log(6_000);
        let report = judge(&log, &Arc::new(LearnSettings::default()), &judging()).unwrap();
        let of = |name: &str| report.policies.iter().find(|one| one.policy == name).unwrap().estimates;
        let (uniform, engine) = (of("uniform"), of("engine"));
        assert!((uniform.snips.value - 0.275).abs() < 0.03, "{uniform:?}");
        // Greedy and right: it would earn 0.5.
        assert!(engine.snips.low > 0.4 && engine.snips.high < 0.6, "{engine:?}");
        assert!(engine.dr.unwrap().low > uniform.dr.unwrap().high);
        assert!((engine.effective_rows - 500.0).abs() < 80.0, "a sixth of the rows: {}", engine.effective_rows);
        let clicked = log.impressions[3_000..].iter().filter(|one| one.clicked).count() as f64 / 3_000.0;
        assert!((of("logging").ips.value - clicked).abs() < 1e-12);
        assert_eq!((report.learned_events, report.test_events, report.items), (3_000, 3_000, 6));
        let again = judge(&log, &Arc::new(LearnSettings::default()), &judging()).unwrap();
        assert_eq!(again, report, "same log and seed, same figures");
    }

    #[test]
    fn with_a_temperature_the_engine_is_judged_as_it_would_choose() {
        let rank = RankSettings { temperature: 1.0, ..RankSettings::default() };
        let warm = Arc::new(LearnSettings { rank, ..LearnSettings::default() });
        let report = judge(&log(6_000), &warm, &judging()).unwrap();
        let engine = report.policies.iter().find(|one| one.policy == "engine").unwrap().estimates;
        assert!(engine.effective_rows > 700.0 && engine.snips.value > 0.28, "{engine:?}");
    }

    #[test]
    fn a_split_needs_two_parts() {
        let error = judge(&log(10), &Arc::new(LearnSettings::default()), &Judging { split: 0.0, ..judging() });
        assert!(matches!(error, Err(JudgingError::Empty { learned: 0, judged: 10 })));
    }
}
