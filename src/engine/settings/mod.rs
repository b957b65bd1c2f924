//! Settings of learning and ranking.
//!
//! Invariant: [`LearnSettings::check`] accepted the values. Settings that change the effect of an entry are part of
//! [`LearnSettings::fingerprint`]: a snapshot made under others is discarded and the journal folded again.

pub mod columns;
mod cluster;
pub mod rank;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::clusterings::DEFAULT;
use crate::domain::feeds::Expert;
use crate::domain::interactions::Signals;
use crate::domain::time::{DAY_MS, HOUR_MS};
use crate::engine::learners::person::online::OnlineSettings;
use crate::engine::learners::person::topics::TopicDecay;
use crate::engine::metrics::measured::Declarations;
use rank::RankSettings;

pub use crate::engine::blend::start::Blend;
pub use crate::engine::learners::person::topics::Decay;
pub use cluster::{ClusterSettings, Points};

/// Settings of the learners, of the blend's start and of ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnSettings {
    /// Label and weight of each kind of interaction.
    pub signals: Signals,
    /// Decay of topic weights over time.
    pub decay: Decay,
    /// Rate `r` of the decay curve `2 / (1 + exp(5 r x))`, in (0, 100].
    pub decay_rate: f64,
    /// Unit of elapsed time in the decay curve, in milliseconds.
    pub decay_horizon_ms: i64,
    /// Prior variance of the online model's weights, on centred unit vectors.
    pub prior_variance: f32,
    /// Half-life of the online model's precision, in milliseconds (exponential forgetting).
    pub forget_half_life_ms: i64,
    /// Age at which freshness is one half, in milliseconds.
    pub freshness_half_ms: i64,
    /// Initial weights of the blend.
    pub blend: Blend,
    /// Step size of the blend's shared weights, relative to a Newton step, in (0, 10].
    pub blend_step: f32,
    /// Experts to leave out: they contribute nothing to scores, and their weights learn nothing.
    pub without: Vec<Expert>,
    /// Maximum number of sampled negatives per click, where the shown items are unknown; 1 to 200.
    pub negatives: u16,
    /// Exploration and list-wise reranking.
    pub rank: RankSettings,
    /// Declared metrics. Read from `[metrics]` and the store, since declarations do not change learning.
    #[serde(skip)]
    pub metrics: Declarations,
    /// The clustering `default`. The configuration reads it from `[cluster]`, since it does not change learning.
    #[serde(skip)]
    pub cluster: ClusterSettings,
    /// Further clusterings by name. Read from `[clusterings]` and the store.
    #[serde(skip)]
    pub clusterings: BTreeMap<String, ClusterSettings>,
}

impl Default for LearnSettings {
    fn default() -> Self {
        LearnSettings {
            signals: Signals::default(),
            decay: Decay::Exact,
            decay_rate: 1.0,
            decay_horizon_ms: 7 * DAY_MS,
            prior_variance: 10.0,
            forget_half_life_ms: 30 * DAY_MS,
            freshness_half_ms: 24 * HOUR_MS,
            blend_step: 2.0,
            without: Vec::new(),
            negatives: 12,
            blend: Blend::default(),
            rank: RankSettings::default(),
            metrics: Declarations::default(),
            cluster: ClusterSettings::default(),
            clusterings: BTreeMap::new(),
        }
    }
}

impl LearnSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// The invalid key, and its rule.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let signals = &self.signals;
        let weights = [
            signals.positive_weight,
            signals.click_weight,
            signals.skip_weight,
            signals.negative_weight,
            signals.bounce_weight,
        ];
        let rules = [
            (positive(self.decay_rate) && self.decay_rate <= 100.0, "decay_rate", "must be above 0 and at most 100"),
            (self.decay_horizon_ms > 0, "decay_horizon_ms", "must be above 0"),
            (positive(f64::from(self.prior_variance)), "prior_variance", "must be above 0 and finite"),
            (self.forget_half_life_ms > 0, "forget_half_life_ms", "must be above 0"),
            (self.freshness_half_ms > 0, "freshness_half_ms", "must be above 0"),
            (
                positive(f64::from(self.blend_step)) && self.blend_step <= 10.0,
                "blend_step",
                "must be above 0 and at most 10",
            ),
            ((1..=200).contains(&self.negatives), "negatives", "must be between 1 and 200"),
            (self.blend.as_array().iter().all(|w| w.is_finite()), "blend", "every weight must be finite"),
            (weights.iter().all(|w| (0.0..=10.0).contains(w)), "signals", "every weight must be between 0 and 10"),
            ((0.0..=1.0).contains(&signals.passed_weight), "signals.passed_weight", "must be between 0 and 1"),
        ];
        rules.into_iter().find(|(good, ..)| !good).map_or(Ok(()), |(_, key, rule)| Err((key, rule)))?;
        self.rank.check()
    }

    /// Settings of a clustering by its name.
    #[must_use]
    pub fn clustering(&self, name: &str) -> Option<&ClusterSettings> {
        if name == DEFAULT { Some(&self.cluster) } else { self.clusterings.get(name) }
    }

    /// All clusterings, `default` first, then by name.
    pub fn all_clusterings(&self) -> impl Iterator<Item = (&str, &ClusterSettings)> {
        let others = self.clusterings.iter().map(|(name, settings)| (name.as_str(), settings));
        std::iter::once((DEFAULT, &self.cluster)).chain(others)
    }

    /// Sets a clustering. The keys that hold for all clusterings stay.
    pub(crate) fn set_clustering(&mut self, name: &str, settings: ClusterSettings) {
        if name == DEFAULT {
            let ClusterSettings { people_max, threads, .. } = self.cluster;
            self.cluster = ClusterSettings { people_max, threads, ..settings };
        } else {
            self.clusterings.insert(name.to_owned(), settings);
        }
    }

    /// The decay of topic weights.
    #[must_use]
    pub fn topic_decay(&self) -> TopicDecay {
        TopicDecay { mode: self.decay, rate: self.decay_rate, horizon_ms: self.decay_horizon_ms }
    }

    /// A clustering and one of its columns that `now` declares and `after` does not. Columns that are undeclared already do
    /// not count.
    #[must_use]
    pub fn lost_column(&self, now: &Declarations, after: &Declarations) -> Option<(&str, &str)> {
        self.all_clusterings().find_map(|(name, options)| Some((name, options.lost_column(now, after)?)))
    }

    /// Prior and forgetting of the online model.
    #[must_use]
    pub fn online(&self) -> OnlineSettings {
        OnlineSettings { prior_variance: self.prior_variance, forget_half_life_ms: self.forget_half_life_ms }
    }

    /// Fingerprint of the settings that change the effect of an entry. Settings that only rank (the blend, freshness,
    /// `rank`), or that the entry has already resolved (signals), are not part of it. Neither are the declared metrics,
    /// since states identify a series by its names.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut bytes = Vec::with_capacity(48);
        bytes.push(match self.decay {
            Decay::Exact => 0,
            Decay::Euler => 1,
        });
        bytes.extend(self.decay_rate.to_le_bytes());
        bytes.extend(self.decay_horizon_ms.to_le_bytes());
        bytes.extend(self.prior_variance.to_le_bytes());
        bytes.extend(self.forget_half_life_ms.to_le_bytes());
        bytes.extend(self.blend_step.to_le_bytes());
        xxh3_64(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metrics::Declaration;

    #[test]
    fn a_clustering_names_the_column_that_a_removed_declaration_leaves_unreadable() {
        let mut declared = Declarations::default();
        declared.declare("mood", Declaration { types: vec!["am".into()], ..Declaration::default() });
        let mut after = declared.clone();
        after.undeclare("mood");
        for (columns, lost) in [
            (vec!["time_spent.post", "topic.mood"], None),
            (vec!["time_spent", "mood"], Some("mood")),
            (vec!["mood.am"], Some("mood.am")),
            // No declaration explains `gone` before, so its absence is no reason to keep `mood`.
            (vec!["gone", "time_spent"], None),
            (vec!["gone", "mood"], Some("mood")),
        ] {
            let mut settings = LearnSettings::default();
            let columns = columns.into_iter().map(str::to_owned).collect();
            settings.set_clustering("moods", ClusterSettings { columns, ..ClusterSettings::default() });
            assert_eq!(settings.lost_column(&declared, &declared), None);
            assert_eq!(settings.lost_column(&declared, &after), lost.map(|column| ("moods", column)));
        }
    }
}
