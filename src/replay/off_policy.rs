//! Evaluates policies on a log of impressions: uniform, most popular, and the engine.
//!
//! Invariant: no policy is evaluated on an impression that it learned from. By default the log is cut into parts by
//! time, and policies for each part learn from all other parts. So every impression counts, but policies also learn
//! from later parts, which a server lacks. With a split, policies learn from the first part and are evaluated on the
//! rest. The engine's policy is `UserState::rank`, the code that serves. Equal log and seed give equal figures.
//! Absent on purpose: slates. The log has the propensity of one item at one position. So the evaluation covers a
//! policy's choice for a position, not whole lists.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::formats::open_bandit::{Impression, OpenBandit};
use super::ope::{Choice, Estimates, OpeOptions, Target, estimate};
use crate::domain::feeds::Ranking;
use crate::domain::ids::{ItemId, Key, UserId};
use crate::domain::interactions::{Interaction, Kind};
use crate::domain::items::Embedding;
use crate::domain::time::Millis;
use crate::engine::coordinator::{Draft, ItemWrite};
use crate::engine::rank::RankRequest;
use crate::engine::rank::explore::log_sum_exp;
use crate::engine::settings::LearnSettings;
use crate::engine::user::{UserEvent, UserState};
use crate::fold::Offline;

/// Parameters of the evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judging {
    /// Share of the log, in (0, 1), that policies learn from before the evaluation on the rest; `None` cross-fits.
    pub split: Option<f64>,
    /// Cap on weights, see [`OpeOptions::clip`].
    pub clip: Option<f64>,
    /// Number of parts of a cross-fitted log, at least 2; also the number of folds for the reward model.
    pub folds: usize,
    /// Seed of the folds, see [`OpeOptions::seed`].
    pub seed: u64,
}

/// The report of an off-policy evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Format of the log: `open-bandit`.
    pub format: &'static str,
    /// Protocol of the evaluation: `off-policy`.
    pub protocol: &'static str,
    /// Seed of the evaluation.
    pub seed: u64,
    /// Number of impressions.
    pub events: u64,
    /// Number of impressions that a policy learned from, mean over the parts.
    pub learned_events: u64,
    /// Number of impressions that policies are evaluated on.
    pub test_events: u64,
    /// Number of parts, each with policies of its own; 1 with a split.
    pub parts: u64,
    /// Number of items in the log.
    pub items: u64,
    /// Number of distinct user contexts.
    pub contexts: u64,
    /// Estimates by policy, in the order of the table.
    pub policies: Vec<Judged>,
}

/// Estimates of one policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Name of the policy.
    pub policy: &'static str,
    /// Expected clicks per impression.
    #[serde(flatten)]
    pub estimates: Estimates,
}

/// Reason why a log cannot be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgingError {
    /// All impressions share one instant.
    #[error(
        "the log has fewer than two instants: policies need impressions to learn from and later ones for the evaluation"
    )]
    OneInstant,
    /// One side of the split is empty.
    #[error("--split {learned}:{judged}: both parts of the log need impressions")]
    Empty {
        /// Number of impressions to learn from.
        learned: usize,
        /// Number of impressions to evaluate on.
        judged: usize,
    },
    /// The features of an item give no valid embedding.
    #[error("item {0}: its features give no embedding: check item_context.csv")]
    Features(usize),
}

/// Evaluates all policies.
///
/// # Errors
/// [`JudgingError`] when the log cannot be split, or its features give no embeddings.
pub fn judge(log: &OpenBandit, settings: &Arc<LearnSettings>, judging: &Judging) -> Result<Report, JudgingError> {
    let all = &log.impressions;
    let parts = parts(all, judging)?;
    let choice = |part: usize, one: &Impression| Choice {
        context: one.context,
        position: one.position,
        action: one.item,
        rewarded: one.clicked,
        propensity: one.propensity,
        part,
    };
    let judged_rows = |(at, part): (usize, &Part)| all[part.judged.clone()].iter().map(move |one| choice(at, one));
    let choices: Vec<Choice> = parts.iter().enumerate().flat_map(judged_rows).collect();
    let items = known_items(log);
    let options = OpeOptions { actions: log.items, clip: judging.clip, folds: judging.folds, seed: judging.seed };
    let share = 1.0 / items.len().max(1) as f64;
    let uniform = |_: &Choice, action: usize| if items.binary_search(&action).is_ok() { share } else { 0.0 };
    let best: Vec<Vec<usize>> =
        parts.iter().map(|part| most_popular(part.learned(all), &items, log.positions)).collect();
    let popular = |row: &Choice, action: usize| f64::from(u8::from(best[row.part][row.position] == action));
    let tables = parts
        .iter()
        .map(|part| engine_policy(log, part, &items, settings))
        .collect::<Result<Vec<BTreeMap<usize, Vec<f64>>>, JudgingError>>()?;
    let engine =
        |row: &Choice, action: usize| tables[row.part].get(&row.context).map_or(0.0, |chances| chances[action]);
    let learned: usize = parts.iter().map(|part| part.learned(all).count()).sum();
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
        learned_events: (learned / parts.len()) as u64,
        test_events: choices.len() as u64,
        parts: parts.len() as u64,
        items: items.len() as u64,
        contexts: log.contexts.len() as u64,
        policies: judged.collect(),
    })
}

/// Impressions to evaluate, and those that the policies for them learn from.
struct Part {
    judged: Range<usize>,
    learned: [Range<usize>; 2],
    /// Instant at which the policies choose.
    now: Millis,
}

impl Part {
    /// Impressions to learn from, by time.
    fn learned<'a>(&self, all: &'a [Impression]) -> impl Iterator<Item = &'a Impression> + Clone + use<'a> {
        let [before, after] = self.learned.clone();
        all[before].iter().chain(&all[after])
    }
}

/// Cuts the log into runs of impressions. Impressions of one instant, as the positions of one screen, stay together.
fn parts(all: &[Impression], judging: &Judging) -> Result<Vec<Part>, JudgingError> {
    let count = all.len();
    if let Some(share) = judging.split {
        let split = ((count as f64 * share).round() as usize).min(count);
        if split == 0 || split == count {
            return Err(JudgingError::Empty { learned: split, judged: count - split });
        }
        return Ok(vec![Part { judged: split..count, learned: [0..split, count..count], now: all[split].at }]);
    }
    let folds = judging.folds.max(2);
    let edge = |part: usize| {
        let place = count * part / folds;
        let at = all.get(place).map_or(Millis::MAX, |one| one.at);
        if part == 0 { 0 } else { all.partition_point(|one| one.at < at) }
    };
    let mut edges: Vec<usize> = (0..folds).map(edge).chain([count]).collect();
    edges.dedup();
    if edges.len() < 3 {
        return Err(JudgingError::OneInstant);
    }
    let now = all.last().map_or(Millis(0), |one| one.at);
    let part = |ends: &[usize]| Part { judged: ends[0]..ends[1], learned: [0..ends[0], ends[1]..count], now };
    Ok(edges.windows(2).map(part).collect())
}

/// Items of the log and of its item table, sorted: the choices of a policy.
fn known_items(log: &OpenBandit) -> Vec<usize> {
    let mut items: Vec<usize> =
        log.impressions.iter().map(|one| one.item).chain(log.item_features.keys().copied()).collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// By position, the item with the highest click rate; ties go by number. Rates are shrunk towards the overall rate by
/// 50 impressions, since rates of few impressions are noise.
fn most_popular<'a>(
    past: impl Iterator<Item = &'a Impression> + Clone,
    items: &[usize],
    positions: usize,
) -> Vec<usize> {
    const PRIOR: f64 = 50.0;
    let rate = past.clone().filter(|one| one.clicked).count() as f64 / past.clone().count().max(1) as f64;
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

/// Probabilities of all items by context: the top of the engine's `model` feed after learning the part's impressions
/// as clicks and skips. Each context is a user; a context without impressions starts empty.
fn engine_policy(
    log: &OpenBandit,
    part: &Part,
    items: &[usize],
    settings: &Arc<LearnSettings>,
) -> Result<BTreeMap<usize, Vec<f64>>, JudgingError> {
    let vectors = embeddings(log, items)?;
    let dim = vectors.first().map_or(1, |x| x.len());
    let mut offline = Offline::new(dim, settings.clone());
    let past = part.learned(&log.impressions);
    let start = log.impressions.first().map_or(Millis(0), |one| one.at);
    let topic = Key::of_number(0);
    let drafts: Vec<Draft> = items
        .iter()
        .zip(vectors)
        .map(|(item, embedding)| Draft {
            attributes: None,
            key: Key::of_number(*item as u32),
            author: None,
            topics: Some(vec![topic.clone()]),
            text: Some(item.to_string().into()),
            embedding: Some(embedding),
            created: Some(start),
            windows: None,
        })
        .collect();
    // The engine never refuses a replacing write of a complete draft.
    let written = offline.items(drafts, ItemWrite::Replace, start);
    let ids: BTreeMap<usize, ItemId> =
        items.iter().copied().zip(written.into_iter().filter_map(Result::ok).map(|written| written.id)).collect();
    offline.recentre(start);
    let person =
        |offline: &mut Offline, context: usize, at: Millis| offline.person(&Key::of_number(context as u32), None, at);
    for (n, one) in past.enumerate() {
        let user = person(&mut offline, one.context, one.at);
        let kind = if one.clicked { Kind::Click } else { Kind::Skip };
        let Some(item) = ids.get(&one.item).copied() else { continue };
        let id = Key::of_number(n as u32);
        let interaction = Interaction { id, item, kind, dwell_ms: None, at: one.at, shown: None, passed: Vec::new() };
        offline.act(user, UserEvent::Interacted(interaction), one.at);
        offline.take_writes();
    }
    let now = part.now;
    let numbers: BTreeMap<ItemId, usize> = ids.into_iter().map(|(number, id)| (id, number)).collect();
    let temperature = f64::from(settings.rank.temperature);
    let contexts: std::collections::BTreeSet<usize> =
        log.impressions[part.judged.clone()].iter().map(|one| one.context).collect();
    let nobody = UserState::new(UserId(u32::MAX));
    let of_context = |context: usize| {
        let user = offline.find_person(Key::of_number(context as u32).as_str());
        let state = user.and_then(|user| offline.state(user)).unwrap_or(&nobody);
        let ask = RankRequest { ranking: Ranking::Model, limit: items.len(), explain: false };
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

/// An embedding per item: standardised numeric features, one axis per category, and one axis per item.
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
mod tests {
    use super::*;
    use crate::engine::settings::rank::RankSettings;
    use rand::{RngExt, SeedableRng};

    /// Two kinds of users with opposite tastes in two kinds of items, under a uniform policy.
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
        Judging { split: None, clip: None, folds: 4, seed: 1 }
    }

    #[test]
    fn the_engine_earns_more_than_chance_where_people_differ() {
        let log = log(6_000);
        for (judging, learned, judged, parts) in
            [(judging(), 4_500, 6_000, 4), (Judging { split: Some(0.5), ..judging() }, 3_000, 3_000, 1)]
        {
            let report = judge(&log, &Arc::new(LearnSettings::default()), &judging).unwrap();
            assert_eq!((report.learned_events, report.test_events, report.parts), (learned, judged, parts));
            let of = |name: &str| report.policies.iter().find(|one| one.policy == name).unwrap().estimates;
            let (uniform, engine) = (of("uniform"), of("engine"));
            assert!((uniform.snips.value.unwrap() - 0.275).abs() < 0.03, "{uniform:?}");
            // The greedy policy is right and earns 0.5.
            assert!(engine.snips.low.unwrap() > 0.35 && engine.snips.high.unwrap() < 0.65, "{engine:?}");
            assert!(engine.dr.unwrap().low > uniform.dr.unwrap().high);
            let sixth = judged as f64 / 6.0;
            assert!((engine.effective_rows - sixth).abs() < 0.16 * sixth, "{}", engine.effective_rows);
            let test = &log.impressions[6_000 - judged as usize..];
            let clicked = test.iter().filter(|one| one.clicked).count() as f64 / judged as f64;
            assert!((of("logging").ips.value.unwrap() - clicked).abs() < 1e-12);
            assert_eq!(report.items, 6);
            let again = judge(&log, &Arc::new(LearnSettings::default()), &judging).unwrap();
            assert_eq!(again, report, "same log and seed, same figures");
        }
    }

    /// Every impression is evaluated once, by policies that learned from all others.
    #[test]
    fn all_of_the_log_is_judged_and_no_policy_is_judged_on_what_it_learned() {
        let mut log = log(103);
        // Three positions of one screen share an instant.
        log.impressions.iter_mut().enumerate().for_each(|(n, one)| one.at = Millis(n as i64 / 3));
        let parts = parts(&log.impressions, &judging()).unwrap();
        assert_eq!(parts.len(), 4);
        let mut seen = vec![0; 103];
        for part in &parts {
            part.judged.clone().for_each(|row| seen[row] += 1);
            let learned: Vec<&Impression> = part.learned(&log.impressions).collect();
            assert_eq!(learned.len() + part.judged.len(), 103);
            let times = |row: usize| log.impressions[row].at;
            let span = times(part.judged.start)..=times(part.judged.end - 1);
            assert!(learned.iter().all(|one| !span.contains(&one.at)), "a screen stays together");
        }
        assert!(seen.iter().all(|times| *times == 1));
        log.impressions.iter_mut().for_each(|one| one.at = Millis(7));
        assert!(matches!(super::parts(&log.impressions, &judging()), Err(JudgingError::OneInstant)));
    }

    /// For a learning policy evaluated across parts, the interval covers the mean value of the parts' policies.
    #[test]
    fn intervals_of_cross_fitted_policies_hold_their_value() {
        let mut hits = 0;
        let runs = 200;
        for seed in 0..runs {
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(50 + seed);
            // Item 3 is slightly better than five equal others, so often another one looks best.
            let chance = |item: usize| if item == 3 { 0.12 } else { 0.1 };
            let impressions: Vec<Impression> = (0..600)
                .map(|n| {
                    let item = random.random_range(0..6);
                    let clicked = random.random::<f64>() < chance(item);
                    Impression { at: Millis(n), context: 0, item, position: 0, propensity: 1.0 / 6.0, clicked }
                })
                .collect();
            let parts = parts(&impressions, &judging()).unwrap();
            let items: Vec<usize> = (0..6).collect();
            let best: Vec<usize> =
                parts.iter().map(|part| most_popular(part.learned(&impressions), &items, 1)[0]).collect();
            let truth =
                parts.iter().zip(&best).map(|(part, best)| part.judged.len() as f64 * chance(*best)).sum::<f64>();
            let rows: Vec<Choice> = parts
                .iter()
                .enumerate()
                .flat_map(|(at, part)| impressions[part.judged.clone()].iter().map(move |one| (at, one)))
                .map(|(part, one)| Choice {
                    context: 0,
                    position: 0,
                    action: one.item,
                    rewarded: one.clicked,
                    propensity: one.propensity,
                    part,
                })
                .collect();
            let popular = |row: &Choice, action: usize| f64::from(u8::from(best[row.part] == action));
            let options = OpeOptions { actions: 6, clip: None, folds: 4, seed: 1 };
            let found = estimate(&rows, Target::Policy(&popular), &options).unwrap().ips;
            hits += u32::from((found.low.unwrap()..=found.high.unwrap()).contains(&(truth / 600.0)));
        }
        assert!(hits >= 184, "{hits} of {runs}: at least 95 %, less twice what chance does");
    }

    #[test]
    fn with_a_temperature_the_engine_is_judged_as_it_would_choose() {
        let rank = RankSettings { temperature: 1.0, ..RankSettings::default() };
        let warm = Arc::new(LearnSettings { rank, ..LearnSettings::default() });
        let report = judge(&log(6_000), &warm, &judging()).unwrap();
        let engine = report.policies.iter().find(|one| one.policy == "engine").unwrap().estimates;
        assert!(engine.effective_rows > 1_400.0 && engine.snips.value.unwrap() > 0.28, "{engine:?}");
    }

    #[test]
    fn a_split_needs_two_parts() {
        let error = judge(&log(10), &Arc::new(LearnSettings::default()), &Judging { split: Some(0.0), ..judging() });
        assert!(matches!(error, Err(JudgingError::Empty { learned: 0, judged: 10 })));
    }
}
