//! Popularity: decayed counts of an item over those of open items, its rate, and its approval. Further features are its popularity
//! in the person's cluster, its first-time visitors, and the match of its hours with the clock.
//!
//! Invariant: counts are log ratios, so that 0 is the mean of open items. `newcomers` is 0 for an item that the person
//! knows.
//! Deliberately absent: counting (`popularity`, `arrivals` and `cluster_popularity` of `learners::shared`).

use crate::engine::catalogue::block::BLOCK;
use crate::engine::learners::clock::PHASES;
use crate::engine::learners::shared::arrivals::VisitorsBlock;
use crate::engine::learners::shared::cluster_popularity::ClusterLifts;
use crate::engine::learners::shared::popularity::PopularityBlock;

use super::expertise::{BlockRows, Context, Expertise, ItemRow, Lane, place};

/// Number of features.
const N: usize = 11;

/// Names of the features. The first seven stand in the order of the published numbers of an item.
const NAMES: [&str; N] = [
    "popularity_1h",
    "popularity_6h",
    "popularity_1d",
    "popularity_7d",
    "popularity_28d",
    "popularity_rate",
    "approval",
    "popularity_cluster",
    "newcomers",
    "busy_hour",
    "busy_weekday",
];

const ONE_DAY: usize = place(&NAMES, "popularity_1d");
const APPROVAL: usize = place(&NAMES, "approval");
const CLUSTER: usize = place(&NAMES, "popularity_cluster");
const NEWCOMERS: usize = place(&NAMES, "newcomers");
const BUSY_HOUR: usize = place(&NAMES, "busy_hour");
const BUSY_WEEKDAY: usize = place(&NAMES, "busy_weekday");

/// Prepared for one person at one instant.
pub struct Popularity<'a> {
    context: Context<'a>,
    /// The phases of the clock.
    phases: [f32; PHASES],
    /// Popularity in the person's cluster; `None` outside of all clusters.
    cluster: Option<&'a ClusterLifts>,
}

impl<'a> Expertise<'a, N> for Popularity<'a> {
    const NAMES: [&'static str; N] = NAMES;

    /// Choices in proportion to the decayed count of one day: popularity as commonly understood.
    const ALONE: [f32; N] = {
        let mut weights = [0.0; N];
        weights[ONE_DAY] = 1.0;
        weights
    };

    const FIRST_AMOUNT: f32 = 0.3;

    fn first_weights(amount: f32) -> [f32; N] {
        let mut weights = Self::ALONE.map(|weight| weight * amount);
        // A rate that is shrunk to that of all people: log-odds already.
        weights[APPROVAL] = amount;
        weights
    }

    fn of(context: Context<'a>) -> Self {
        let cluster = context.profile.group.and_then(|group| context.store.cluster_popularity().of(group));
        Popularity { context, phases: context.clock.phases(), cluster }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; N]) {
        let popularity = self.context.store.popularity();
        out[..=APPROVAL].copy_from_slice(&popularity.row(item.id));
        (out[BUSY_HOUR], out[BUSY_WEEKDAY]) = popularity.visitors().busy(item.id, &self.phases);
        if let Some(cluster) = self.cluster {
            out[CLUSTER] = cluster.popularity(item.id, out[ONE_DAY]);
        }
        if item.visit().is_none() {
            out[NEWCOMERS] = popularity.visitors().newcomers(item.id);
        }
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; N], scores: &mut Lane) {
        let popularity = self.context.store.popularity();
        let (numbers, visitors) = (popularity.block(block.index), popularity.visitors().block(block.index));
        let Some(cluster) = self.cluster else {
            return add_popularity(weights, numbers, visitors, &self.phases, const { &[0.0; BLOCK] }, scores);
        };
        let mut of_cluster = [0.0; BLOCK];
        cluster.write_popularity(block.index * BLOCK, &numbers[ONE_DAY], &mut of_cluster);
        add_popularity(weights, numbers, visitors, &self.phases, &of_cluster, scores);
    }
}

#[inline(always)]
fn add_popularity(
    w: &[f32; N],
    numbers: &PopularityBlock,
    (visitors, level): (&VisitorsBlock, f32),
    clock: &[f32; PHASES],
    of_cluster: &Lane,
    scores: &mut Lane,
) {
    for row in 0..BLOCK {
        let mut popularity = w[0] * numbers[0][row];
        for k in 1..numbers.len() {
            popularity += w[k] * numbers[k][row];
        }
        popularity += w[CLUSTER] * of_cluster[row];
        popularity += w[NEWCOMERS] * (visitors[0][row] - level);
        let phase = |k: usize| visitors[1 + k][row] * clock[k];
        popularity += w[BUSY_HOUR] * (phase(0) + phase(1));
        popularity += w[BUSY_WEEKDAY] * (phase(2) + phase(3) + phase(4) + phase(5));
        scores[row] += popularity;
    }
}
