//! From scored candidates to a `model` feed: the list stage and exploration over the best of the pool.
//!
//! Invariant: the stage changes the order only, never scores or explanations. Its rules apply to the pool, the best `rank.pool`
//! items; items beyond follow by score. With all rules off the feed is in the order of scores. While the person's state and
//! viewport stay, an item outside of the feed with a score below the entry threshold cannot enter it.
//! Deliberately absent: the `flat` and `topics` rankings, whose orders are documented as they are.

use super::explore::{Noise, gumbel_top_k};
use super::list::{Diversity, Placed, Row, Rules, arrange};
use super::types::{Ranked, Scored, Viewport};
use crate::domain::feeds::FeedItem;
use crate::domain::ids::{ItemId, TopicId};
use crate::engine::catalogue::block::{BLOCK, NOBODY};
use crate::engine::evidence::user_profile::UserProfile;
use crate::engine::numeric::kernels::{dot, squares_over};
use crate::engine::settings::rank::RankSettings;
use crate::engine::world::World;

impl RankSettings {
    /// Number of best candidates that the stage needs for a feed of `limit`.
    pub(super) fn reach(&self, limit: usize) -> usize {
        if limit == 0 || !self.has_effect() { limit } else { limit.max(self.pool as usize) }
    }

    fn has_effect(&self) -> bool {
        let caps = [self.author_run, self.topic_run, self.author_max, self.topic_max];
        caps.iter().any(|cap| *cap > 0) || !self.only_caps()
    }

    /// Whether the order is that of scores, apart from caps.
    fn only_caps(&self) -> bool {
        self.temperature <= 0.0
            && self.uncertainty <= 0.0
            && self.mmr_lambda >= 1.0
            && self.calibration <= 0.0
            && self.stability <= 0.0
    }

    fn rules(&self) -> Rules {
        Rules {
            author_run: self.author_run,
            topic_run: self.topic_run,
            author_max: self.author_max,
            topic_max: self.topic_max,
            stability: f64::from(self.stability),
            temperature: f64::from(self.temperature),
        }
    }

    /// Bound on how far a value lies above its score, or below that of a better row that it precedes.
    fn slack(&self, prior_variance: f32) -> f64 {
        // Similarity is at least -1; a centred unit vector's variance is at most the prior's.
        let similar = (1.0 - f64::from(self.mmr_lambda)) / f64::from(self.mmr_lambda);
        similar + f64::from(self.uncertainty) * f64::from(prior_variance).sqrt() + f64::from(self.stability)
    }
}

/// The topic shares `p` of a history: each item counts once, split evenly over its topics. Sorted by topic; sums to 1.
pub(crate) fn topic_shares<'a>(history: impl Iterator<Item = &'a [TopicId]>) -> Vec<(u32, f64)> {
    let mut amounts = std::collections::BTreeMap::new();
    let mut all = 0.0;
    for topics in history.filter(|topics| !topics.is_empty()) {
        for topic in topics {
            *amounts.entry(topic.0).or_insert(0.0) += 1.0 / topics.len() as f64;
        }
        all += 1.0;
    }
    amounts.into_iter().map(|(topic, amount)| (topic, amount / all)).collect()
}

/// Arranges the first `limit` items of a feed, without explanations. `best` is sorted and holds the best `reach(limit)` of all
/// candidates.
pub(super) fn stage(
    world: &World,
    profile: &UserProfile<'_>,
    viewport: Viewport<'_>,
    best: Vec<Scored>,
    limit: usize,
) -> Ranked {
    let settings = &world.settings().rank;
    // With fewer candidates than the pool holds, any new item enters it.
    let lowest = |best: &[Scored], reach: usize| match best.last() {
        Some(last) if best.len() >= reach => last.score,
        _ => f32::NEG_INFINITY,
    };
    let plain = |one: &Scored| FeedItem { item: one.item, score: one.score, propensity: 1.0, why: Vec::new() };
    if limit == 0 || !settings.has_effect() {
        return Ranked { items: best.iter().map(plain).collect(), entry_threshold: lowest(&best, limit) };
    }
    let pool = (settings.pool as usize).min(best.len());
    let stage = Stage { world, profile, settings, best: &best[..pool] };
    let rows = stage.rows(viewport);
    let placed = stage.place(&rows, limit);
    let mut items: Vec<FeedItem> =
        placed.iter().map(|one| FeedItem { propensity: one.probability as f32, ..plain(&best[one.row]) }).collect();
    items.extend(best.iter().take(limit).skip(pool).map(plain));
    let entry_threshold = if items.len() < limit {
        f32::NEG_INFINITY
    } else if limit > pool {
        best[limit - 1].score
    } else {
        stage.entry_threshold(&placed, lowest(&best[..pool], settings.pool as usize))
    };
    Ranked { items, entry_threshold }
}

struct Stage<'a> {
    world: &'a World,
    profile: &'a UserProfile<'a>,
    settings: &'a RankSettings,
    best: &'a [Scored],
}

impl Stage<'_> {
    fn rows(&self, viewport: Viewport<'_>) -> Vec<Row> {
        let noise = Noise::of(self.profile.user, viewport.version);
        let settings = self.settings;
        let row = |one: &Scored| {
            let columns = self.world.blocks()[one.item.0 as usize / BLOCK].columns();
            let at = one.item.0 as usize % BLOCK;
            let (author, topic) = (columns.author[at], columns.topic[at]);
            let on_screen = |item: &ItemId| viewport.drawn.iter().position(|drawn| drawn == item);
            let mut value = f64::from(one.score);
            if settings.uncertainty > 0.0 {
                value += f64::from(settings.uncertainty) * self.deviation(one.item);
            }
            Row {
                value,
                author: (author != NOBODY).then_some(author),
                topic: (topic != TopicId::CATALOGUE).then_some(topic.0),
                on_screen: if settings.stability > 0.0 { on_screen(&one.item).map(|at| at as u32) } else { None },
                exponential: if settings.temperature > 0.0 { noise.exponential(one.item) } else { 1.0 },
            }
        };
        self.best.iter().map(row).collect()
    }

    /// Standard deviation of the online model's log-odds for an item.
    fn deviation(&self, item: ItemId) -> f64 {
        let Some(x) = self.world.centred(item) else { return 0.0 };
        let variance = match self.profile.precision {
            Some(precision) => squares_over(&x, precision),
            None => dot(&x, &x) * self.world.settings().prior_variance,
        };
        f64::from(variance).sqrt()
    }

    fn place(&self, rows: &[Row], limit: usize) -> Vec<Placed> {
        let (settings, rules) = (self.settings, self.settings.rules());
        if settings.mmr_lambda < 1.0 {
            let vectors: Vec<(&[f32], f32)> = self
                .best
                .iter()
                .map(|one| {
                    let x = self.world.item(one.item).map_or(&[][..], |item| &item.embedding);
                    (x, dot(x, x).sqrt().max(f32::MIN_POSITIVE))
                })
                .collect();
            let similarity = |a: usize, b: usize| {
                let ((x, x_length), (y, y_length)) = (vectors[a], vectors[b]);
                f64::from(dot(x, y) / x_length / y_length).clamp(-1.0, 1.0)
            };
            let weight = (1.0 - f64::from(settings.mmr_lambda)) / f64::from(settings.mmr_lambda);
            return arrange(rows, &rules, Diversity::Similarity { weight, similarity: &similarity }, limit);
        }
        if settings.calibration > 0.0 && !self.profile.shares.is_empty() {
            let topics: Vec<Vec<u32>> = self
                .best
                .iter()
                .map(|one| {
                    self.world.item(one.item).map_or(Vec::new(), |item| item.topics.iter().map(|t| t.0).collect())
                })
                .collect();
            let weight = f64::from(settings.calibration) / (1.0 - f64::from(settings.calibration));
            let topics = |row: usize| &topics[row][..];
            let diversity = Diversity::Calibration { weight, shares: &self.profile.shares, topics: &topics };
            return arrange(rows, &rules, diversity, limit);
        }
        let has_caps =
            rules != Rules { stability: rules.stability, temperature: rules.temperature, ..Rules::default() };
        if !has_caps && rules.stability <= 0.0 && rules.temperature > 0.0 {
            let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
            let draws: Vec<f64> = rows.iter().map(|row| row.exponential).collect();
            return gumbel_top_k(&values, &draws, rules.temperature, limit)
                .into_iter()
                .map(|choice| Placed {
                    row: choice.row,
                    probability: choice.probability,
                    value: values[choice.row],
                    relaxed: false,
                })
                .collect();
        }
        if settings.uncertainty > 0.0 && rules.temperature <= 0.0 {
            // `arrange` takes rows best first.
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.sort_by(|a, b| rows[*b].value.total_cmp(&rows[*a].value).then(a.cmp(b)));
            let sorted: Vec<Row> = order.iter().map(|row| rows[*row]).collect();
            let placed = arrange(&sorted, &rules, Diversity::None, limit);
            return placed.into_iter().map(|one| Placed { row: order[one.row], ..one }).collect();
        }
        arrange(rows, &rules, Diversity::None, limit)
    }

    /// The least score with which an item outside of the feed might enter it. `pool` is the least score that enters the pool.
    ///
    /// At a place where no row breaks a cap, an item is chosen only if its value reaches that of the row there. With stability,
    /// an item on screen may lie below it by the threshold. A value exceeds the score by at most [`RankSettings::slack`].
    /// Where caps were relaxed, or chance chooses, any item of the pool may enter.
    fn entry_threshold(&self, placed: &[Placed], pool: f32) -> f32 {
        if self.settings.temperature > 0.0 || placed.iter().any(|one| one.relaxed) {
            return pool;
        }
        let least = placed.iter().map(|one| one.value).fold(f64::INFINITY, f64::min);
        let slack = self.settings.slack(self.world.settings().prior_variance);
        if slack <= 0.0 {
            return pool.max(least as f32);
        }
        pool.max((least - slack - 1e-3 * (1.0 + least.abs())) as f32)
    }
}
