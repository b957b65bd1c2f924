//! The log of acknowledged feeds: each item with its position and propensity, for off-policy evaluation.
//!
//! Invariant: no request waits for the log. At most [`QUEUE`] feeds wait; a feed that finds no room or cannot be stored
//! is counted and dropped. Sampling is a hash of person and version, so every part of the server decides alike.
//! Deliberately absent: durability before the answer. The last feeds before a crash may be missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::feeds::{Feed, Slate};
use crate::domain::ids::{FeedVersion, UserId};
use crate::domain::time::{DAY_MS, Millis};
use crate::store::Store;

use super::clock::Clock;

/// The largest number of feeds that wait to be logged.
pub const QUEUE: usize = 4_096;
/// Feeds per transaction.
const BATCH: usize = 256;
/// The interval at which expired feeds are deleted.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// Which acknowledged feeds are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlateLog {
    /// No feed is logged.
    #[default]
    Off,
    /// A share of the acknowledged feeds, set by `rate`.
    Sampled,
    /// Every acknowledged feed.
    All,
}

/// The settings of the log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlateSettings {
    /// Which feeds are logged.
    pub log: SlateLog,
    /// The logged share of acknowledged feeds under `sampled`, 0 to 1.
    pub rate: f64,
    /// Days until a logged feed is deleted.
    pub days: u32,
}

impl Default for SlateSettings {
    fn default() -> Self {
        SlateSettings { log: SlateLog::Off, rate: 0.01, days: 30 }
    }
}

/// A setting of the log that is out of bounds; the message says its valid range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlateSettingsError {
    /// The share of sampled feeds.
    #[error("must be 0 to 1")]
    Rate,
    /// Days until a logged feed is deleted.
    #[error("must be 1 to 36500")]
    Days,
}

impl SlateSettingsError {
    /// The key of the wrong setting in the configuration.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            SlateSettingsError::Rate => "slates.rate",
            SlateSettingsError::Days => "slates.days",
        }
    }
}

impl SlateSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// The first setting that is out of bounds.
    pub fn check(&self) -> Result<(), SlateSettingsError> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(SlateSettingsError::Rate);
        }
        if !(1..=36_500).contains(&self.days) {
            return Err(SlateSettingsError::Days);
        }
        Ok(())
    }

    /// Whether this feed is logged.
    #[must_use]
    pub fn wants(&self, user: UserId, version: FeedVersion) -> bool {
        match self.log {
            SlateLog::Off => false,
            SlateLog::All => true,
            SlateLog::Sampled => {
                let mut bytes = [0_u8; 12];
                bytes[..4].copy_from_slice(&user.0.to_le_bytes());
                bytes[4..].copy_from_slice(&version.0.to_le_bytes());
                // 53 bits are exact in an f64.
                ((xxh3_64(&bytes) >> 11) as f64) < self.rate * (1_u64 << 53) as f64
            }
        }
    }
}

/// The sending end of the log's queue.
pub struct Slates {
    settings: SlateSettings,
    queue: mpsc::Sender<Slate>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    stored: AtomicU64,
    dropped: AtomicU64,
}

/// The receiving end of the log's queue.
pub struct SlateQueue {
    settings: SlateSettings,
    waiting: mpsc::Receiver<Slate>,
    counts: Arc<Counts>,
}

/// The sending end, and the task that stores the queued feeds.
#[must_use]
pub fn slates(settings: SlateSettings) -> (Slates, SlateQueue) {
    let (queue, waiting) = mpsc::channel(QUEUE);
    let counts = Arc::new(Counts::default());
    (Slates { settings, queue, counts: counts.clone() }, SlateQueue { settings, waiting, counts })
}

impl Slates {
    /// Logs a feed that a client acknowledged, if it is sampled.
    pub fn drawn(&self, feed: &Feed, at: Millis) {
        if !self.settings.wants(feed.user, feed.version) {
            return;
        }
        let slate = Slate {
            user: feed.user,
            version: feed.version,
            at,
            epoch: feed.epoch,
            ranking: feed.ranking,
            items: feed.items.iter().map(|one| (one.item, one.propensity)).collect(),
        };
        if self.queue.try_send(slate).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Logged feeds and dropped feeds since the start.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.stored.load(Ordering::Relaxed), self.counts.dropped.load(Ordering::Relaxed))
    }
}

impl SlateQueue {
    /// Stores queued feeds, and deletes expired ones at once and then every hour. Ends with the last [`Slates`].
    pub async fn run(mut self, store: Arc<dyn Store>, clock: Arc<dyn Clock>) {
        let mut forget = tokio::time::interval(FORGET_EVERY);
        forget.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let before = tokio::select! {
                count = self.waiting.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    None
                }
                _ = forget.tick() => Some(clock.now().plus(-i64::from(self.settings.days) * DAY_MS)),
            };
            let count = batch.len() as u64;
            match store.log_slates(std::mem::take(&mut batch), before).await {
                Ok(()) => self.counts.stored.fetch_add(count, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(%error, feeds = count, "acknowledged feeds could not be logged and are dropped");
                    self.counts.dropped.fetch_add(count, Ordering::Relaxed)
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::feeds::Ranking;
    use crate::domain::ids::Epoch;

    #[test]
    fn a_sample_is_as_large_as_it_says_and_always_the_same() {
        let sampled = SlateSettings { log: SlateLog::Sampled, rate: 0.2, ..SlateSettings::default() };
        let taken = |settings: &SlateSettings| {
            (0..10_000).filter(|n| settings.wants(UserId(n % 100), FeedVersion(u64::from(*n)))).count()
        };
        assert!((1_800..2_200).contains(&taken(&sampled)), "{}", taken(&sampled));
        for (log, rate, expected) in [
            (SlateLog::Off, 1.0, 0),
            (SlateLog::All, 0.0, 10_000),
            (SlateLog::Sampled, 0.0, 0),
            (SlateLog::Sampled, 1.0, 10_000),
        ] {
            assert_eq!(taken(&SlateSettings { log, rate, days: 1 }), expected, "{log:?} {rate}");
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_gone() {
        let (slates, queue) = slates(SlateSettings { log: SlateLog::All, ..SlateSettings::default() });
        let (user, epoch, ranking) = (UserId(1), Epoch(1), Ranking::Model);
        for version in 0..QUEUE as u64 + 5 {
            let feed = Feed {
                user,
                version: FeedVersion(version),
                epoch,
                ranking,
                model: None,
                likely: Vec::new(),
                items: Vec::new(),
            };
            slates.drawn(&feed, Millis(0));
        }
        assert_eq!((slates.counts(), queue.waiting.len()), ((0, 5), QUEUE));
    }
}
