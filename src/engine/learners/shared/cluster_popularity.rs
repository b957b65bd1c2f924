//! Popularity within each cluster of users: decayed counts per cluster and item, relative to the cluster's mean.
//!
//! Invariant: counts are finite and non-negative, for at most [`ITEMS_MAX`] items in each of at most [`GROUPS_MAX`]
//! clusters. A count belongs to the cluster that its entry names, so the fold needs no assignments. An item without a
//! count in a cluster has its global popularity there. Without clusters nothing is stored or computed.
//! Deliberately absent: the assignments of users (`clustering`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::ItemId;
use crate::domain::time::{DAY_MS, Millis};
use crate::engine::learners::shared::popularity::PopularityTable;

/// Counted items per cluster; beyond that, the half with the lowest counts is dropped.
pub(crate) const ITEMS_MAX: usize = 4_096;

/// Counted clusters. Cluster numbers are never reused, so the cluster with the lowest sum is dropped.
pub(crate) const GROUPS_MAX: usize = 256;

/// Half-life of a count: one day.
pub(crate) const HALF_LIFE_MS: i64 = DAY_MS;

/// Prior of the global popularity: it counts as much as this many visits of the cluster to an item of mean popularity.
const PRIOR: f64 = 0.5;

/// Counts below this are dropped when the origin moves.
const FORGOTTEN: f64 = 1e-6;

/// Half-lives after which the origin moves.
const ORIGIN_MAX: f64 = 64.0;

/// Counts by cluster and item, forward-decayed in units of an origin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClusterPopularity {
    counts: BTreeMap<u32, BTreeMap<ItemId, f64>>,
    origin: Millis,
}

impl ClusterPopularity {
    /// Counts an interaction of a cluster's user with an item.
    pub fn learn(&mut self, group: u32, item: ItemId, weight: f32, at: Millis) {
        if self.ahead(at) > ORIGIN_MAX {
            self.move_to(at);
        }
        let amount = f64::from(weight) * self.ahead(at).exp2();
        let counts = self.counts.entry(group).or_default();
        *counts.entry(item).or_insert(0.0) += amount;
        if counts.len() > ITEMS_MAX {
            let mut all: Vec<(ItemId, f64)> = std::mem::take(counts).into_iter().collect();
            all.select_nth_unstable_by(ITEMS_MAX / 2, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            all.truncate(ITEMS_MAX / 2);
            *counts = all.into_iter().collect();
        }
        if self.counts.len() > GROUPS_MAX {
            let others = self.counts.iter().filter(|(other, _)| **other != group);
            let sums = others.map(|(other, counts)| (counts.values().sum::<f64>(), *other));
            if let Some((_, least)) = sums.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))) {
                self.counts.remove(&least);
            }
        }
    }

    fn ahead(&self, at: Millis) -> f64 {
        (at.0 - self.origin.0) as f64 / HALF_LIFE_MS as f64
    }

    fn move_to(&mut self, at: Millis) {
        let shrink = (-self.ahead(at)).exp2();
        for counts in self.counts.values_mut() {
            counts.values_mut().for_each(|count| *count *= shrink);
            counts.retain(|_, count| *count >= FORGOTTEN);
        }
        self.counts.retain(|_, counts| !counts.is_empty());
        self.origin = at;
    }

    /// Popularity within these clusters at `now`. The catalogue has `len` items, `open` of which are open according to
    /// `is_open`. `popularity` must be that of the current instant.
    #[must_use]
    pub fn table(
        &self,
        groups: impl Iterator<Item = u32>,
        popularity: &PopularityTable,
        (len, open): (u32, u64),
        is_open: impl Fn(ItemId) -> bool,
        now: Millis,
    ) -> ClusterPopularityTable {
        // Events that were learned while the clock was ahead lie in the future: counts stand still until it has caught up.
        let fade = (-self.ahead(now).max(0.0)).exp2();
        let of_group = |group: u32| {
            let counts = self.counts.get(&group).into_iter().flatten();
            let counts: Vec<(ItemId, f64)> =
                counts.filter(|(item, _)| is_open(**item)).map(|(item, count)| (*item, count * fade)).collect();
            let mean = counts.iter().map(|(_, count)| count).sum::<f64>() / (open.max(1) as f64);
            let mut lifts = vec![0.0; counts.last().map_or(0, |(item, _)| item.0.min(len) as usize + 1)];
            for (item, count) in counts {
                // Pseudo-count: the global popularity acts as this many visits of the cluster.
                let expected = PRIOR * f64::from(popularity.within_a_day(item)).exp();
                if let Some(lift) = lifts.get_mut(item.0 as usize) {
                    *lift = (1.0 + count / expected).ln() as f32;
                }
            }
            (group, Arc::new(ClusterLifts { base: (PRIOR / (mean + PRIOR)).ln() as f32, lifts }))
        };
        ClusterPopularityTable(groups.map(of_group).collect())
    }
}

/// Published popularity within clusters, by cluster number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterPopularityTable(BTreeMap<u32, Arc<ClusterLifts>>);

impl ClusterPopularityTable {
    /// The popularity within one cluster; `None` for an unknown cluster.
    #[must_use]
    pub fn of(&self, group: u32) -> Option<&ClusterLifts> {
        self.0.get(&group).map(AsRef::as_ref)
    }
}

/// Popularity within one cluster, as a log ratio relative to the global one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterLifts {
    /// Log ratio to the global popularity for items without an interaction of the cluster.
    base: f32,
    /// Additional log ratio by item id; items beyond the end have none.
    lifts: Vec<f32>,
}

impl ClusterLifts {
    /// `ln((c_i + k r_i) / (mean c + k))`: the cluster's decayed count of the item over its mean count. It is shrunk towards
    /// the ratio over all users, whose logarithm `ln r_i` is `overall`.
    #[must_use]
    pub fn popularity(&self, item: ItemId, overall: f32) -> f32 {
        overall + self.base + self.lifts.get(item.0 as usize).copied().unwrap_or(0.0)
    }

    /// Computes [`ClusterLifts::popularity`] for consecutive items from id `first` on, from their global log ratios
    /// `overall`.
    pub(crate) fn write_popularity(&self, first: usize, overall: &[f32], out: &mut [f32]) {
        let lifts = self.lifts.get(first..).unwrap_or(&[]).iter().copied().chain(std::iter::repeat(0.0));
        for ((out, overall), lift) in out.iter_mut().zip(overall).zip(lifts) {
            *out = overall + self.base + lift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TopicId;
    use crate::domain::interactions::Signal;
    use crate::engine::learners::shared::popularity::{Popularity, Run};
    use proptest::prelude::*;

    const ITEMS: u32 = 10;

    /// The table that visits of clusters to items publish at `now`.
    fn published(
        visits: &[(u32, u32, i64)],
        now: Millis,
    ) -> (ClusterPopularity, ClusterPopularityTable, PopularityTable) {
        let (mut cluster_popularity, mut popularity) = (ClusterPopularity::default(), Popularity::default());
        let like = Signal { positive: true, weight: 1.0 };
        for (group, item, at) in visits {
            cluster_popularity.learn(*group, ItemId(*item), 1.0, Millis(*at));
            popularity.learn(ItemId(*item), TopicId(0), like, Millis(*at));
        }
        let mut overall = PopularityTable::default();
        let (created, windowed) = (&[Millis(0); ITEMS as usize], &[false; ITEMS as usize]);
        let open = Run { first: ItemId(0), created, windowed, items: &[] };
        popularity.refresh(&mut overall, std::iter::once(open), now);
        let table = cluster_popularity.table([0, 1, 2].into_iter(), &overall, (ITEMS, u64::from(ITEMS)), |_| true, now);
        (cluster_popularity, table, overall)
    }

    fn of(table: &ClusterPopularityTable, overall: &PopularityTable, group: u32, item: u32) -> f32 {
        let row = overall.within_a_day(ItemId(item));
        table.of(group).map_or(f32::NAN, |cluster| cluster.popularity(ItemId(item), row))
    }

    #[test]
    fn each_group_has_its_own_and_who_did_nothing_follows_everybody() {
        let visits: Vec<(u32, u32, i64)> = (0..40).map(|n| (n % 2, 3 + n % 2, 0)).collect();
        let (_, table, overall) = published(&visits, Millis(0));
        assert!(of(&table, &overall, 0, 3) > of(&table, &overall, 0, 4) + 1.0, "theirs");
        assert!(of(&table, &overall, 1, 4) > of(&table, &overall, 1, 3) + 1.0, "theirs");
        for item in 0..ITEMS {
            let row = overall.within_a_day(ItemId(item));
            assert_eq!(of(&table, &overall, 2, item), row, "nothing was counted of this group");
        }
        assert!(table.of(3).is_none());
        // 20 of 20 in cluster 0, mean 2 per item; 20 of 40 over all, mean 4.
        let overall_ratio = (20.0 + 0.5) / (4.0 + 0.5);
        let expected = ((20.0 + 0.5 * overall_ratio) / (2.0 + 0.5_f32)).ln();
        assert!((of(&table, &overall, 0, 3) - expected).abs() < 1e-5);
    }

    #[test]
    fn yesterday_counts_half_and_the_origin_moves_without_changing_that() {
        let late = 400 * DAY_MS;
        let (cluster_popularity, ..) = published(&[(0, 1, 0), (0, 1, late - DAY_MS), (0, 1, late)], Millis(late));
        let count = cluster_popularity.counts[&0][&ItemId(1)] * (-cluster_popularity.ahead(Millis(late))).exp2();
        assert!((count - 1.5).abs() < 1e-9, "{count}");
    }

    proptest! {
        /// Memory is bounded and all counts are finite, for any number of clusters and items.
        #[test]
        fn memory_is_bounded(visits in prop::collection::vec((0_u32..600, 0_u32..20_000, 0_i64..200), 1..3_000)) {
            let mut cluster_popularity = ClusterPopularity::default();
            for (group, item, day) in &visits {
                cluster_popularity.learn(*group, ItemId(*item), 1.0, Millis(day * DAY_MS));
            }
            prop_assert!(cluster_popularity.counts.len() <= GROUPS_MAX);
            prop_assert!(cluster_popularity.counts.values().flat_map(BTreeMap::values).all(|count| count.is_finite() && *count >= 0.0));
            let (group, item, _) = visits[visits.len() - 1];
            prop_assert!(cluster_popularity.counts[&group].contains_key(&ItemId(item)), "the newest is there");
        }
    }

    #[test]
    fn a_full_group_keeps_what_it_wants_most() {
        let mut cluster_popularity = ClusterPopularity::default();
        for item in 0..3 * ITEMS_MAX as u32 {
            cluster_popularity.learn(0, ItemId(item), 1.0, Millis(0));
            cluster_popularity.learn(0, ItemId(7), 1.0, Millis(0));
            assert!(cluster_popularity.counts[&0].len() <= ITEMS_MAX);
        }
        assert!(cluster_popularity.counts[&0].contains_key(&ItemId(7)));
    }
}
