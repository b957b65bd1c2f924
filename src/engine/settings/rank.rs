//! Settings of exploration and of the list stage.

use serde::{Deserialize, Serialize};

/// Settings of exploration and of the list stage, for the `model` ranking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RankSettings {
    /// Number of the best items that the list stage re-ranks.
    pub pool: u32,
    /// Temperature of exploration, in log-odds; 0: off.
    pub temperature: f32,
    /// Standard deviations of the online model's log-odds that are added to the score before the order is made.
    pub uncertainty: f32,
    /// Largest number of items of one author in a row; 0: no limit.
    pub author_run: u32,
    /// Largest number of items of one topic in a row; 0: no limit.
    pub topic_run: u32,
    /// Largest number of items of one author in the pool's part of a feed; 0: no limit.
    pub author_max: u32,
    /// Largest number of items of one topic in the pool's part of a feed; 0: no limit.
    pub topic_max: u32,
    /// Lambda of maximal marginal relevance, above 0; 1: off.
    pub mmr_lambda: f32,
    /// Lambda of calibration towards the topic shares of the history, below 1; 0: off.
    pub calibration: f32,
    /// Log-odds by which an item must be better to pass one on screen; 0: off.
    pub stability: f32,
}

impl Default for RankSettings {
    fn default() -> Self {
        RankSettings {
            pool: 200,
            temperature: 0.0,
            uncertainty: 0.0,
            author_run: 2,
            topic_run: 0,
            author_max: 0,
            topic_max: 0,
            mmr_lambda: 1.0,
            calibration: 0.0,
            stability: 0.0,
        }
    }
}

impl RankSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// The key that is wrong, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let within = |x: f32, high: f32| (0.0..=high).contains(&x);
        let rules = [
            ((1..=1_000).contains(&self.pool), "rank.pool", "must be 1 to 1000"),
            (within(self.temperature, 100.0), "rank.temperature", "must be 0 to 100"),
            (within(self.uncertainty, 10.0), "rank.uncertainty", "must be 0 to 10"),
            ((0.01..=1.0).contains(&self.mmr_lambda), "rank.mmr_lambda", "must be 0.01 to 1"),
            (within(self.calibration, 0.99), "rank.calibration", "must be 0 to 0.99"),
            (within(self.stability, 100.0), "rank.stability", "must be 0 to 100"),
            (
                self.mmr_lambda >= 1.0 || self.calibration <= 0.0,
                "rank.mmr_lambda",
                "must be 1 when rank.calibration is above 0: one of both",
            ),
        ];
        rules.into_iter().find(|(good, ..)| !good).map_or(Ok(()), |(_, key, rule)| Err((key, rule)))
    }
}
