//! The apps of the feeds API: each with a server of its own, a counter of entries, and locks for changes that read first.
//!
//! Invariant: an app reaches its own server only. Changes that read first hold the locks of the names that they
//! read, so two of them never interleave. Deliberately absent: rights (`stream`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::DecodingKey;
use secrecy::ExposeSecret as _;
use tokio::sync::{Mutex, OwnedMutexGuard};
use xxhash_rust::xxh3::xxh3_64;

use crate::actors::Server;
use crate::actors::errors::RequestError;
use crate::domain::activities::Micros;
use crate::store::activities::{ActivityChange, Reads};

use super::hmac;
use super::hub::Hub;
use super::stream_settings::AppSettings;

/// Locks of an app. Names share them by their hash.
const LOCKS: u64 = 1_024;

/// An app with its own server and its own numbers.
pub struct StreamApp {
    /// The name of the app in the configuration.
    pub(crate) name: String,
    /// Its settings, without the secret.
    pub(crate) settings: AppSettings,
    /// The server with its data.
    pub(crate) server: Server,
    /// The key that verifies tokens.
    pub(crate) secret: DecodingKey,
    seq: AtomicI64,
    time: AtomicI64,
    locks: Vec<Arc<Mutex<()>>>,
    /// Subscriptions to its feeds.
    pub(crate) hub: Hub,
    /// Labels and kinds without a meaning here, counted.
    pub(crate) unknown_labels: AtomicI64,
}

/// All apps by `api_key`.
pub type StreamApps = BTreeMap<String, Arc<StreamApp>>;

impl StreamApp {
    /// Opens an app over its server.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn open(name: &str, settings: &AppSettings, server: Server) -> Result<StreamApp, RequestError> {
        hmac::install();
        let secret = settings.secret.as_ref().map(|secret| secret.expose_secret()).unwrap_or_default();
        let last = server.feeds().last_seq().await?;
        Ok(StreamApp {
            name: name.to_owned(),
            secret: DecodingKey::from_secret(secret.as_bytes()),
            settings: AppSettings { secret: None, ..settings.clone() },
            server,
            seq: AtomicI64::new(last.max(wall_clock())),
            time: AtomicI64::new(0),
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
            hub: Hub::default(),
            unknown_labels: AtomicI64::new(0),
        })
    }

    /// The name of the app in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id by which channels name the app.
    pub(crate) fn channel_id(&self) -> &str {
        if self.settings.id.is_empty() { &self.name } else { &self.settings.id }
    }

    /// The number of the next entry or reaction.
    pub(crate) fn next_seq(&self) -> i64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The largest number that was given.
    pub(crate) fn last_seq(&self) -> i64 {
        self.seq.load(Ordering::Relaxed)
    }

    /// The current time, later than all earlier answers.
    pub(crate) fn now(&self) -> Micros {
        let now = wall_clock();
        let last = self.time.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        Micros(now.max(last.unwrap_or_default() + 1))
    }

    /// Reads of the app's store.
    pub(crate) fn reads(&self) -> Reads<'_> {
        self.server.feeds()
    }

    /// Carries out changes in one transaction.
    ///
    /// # Errors
    /// The store cannot answer.
    pub(crate) async fn change(&self, changes: Vec<ActivityChange>) -> Result<(), RequestError> {
        self.server.change_feeds(changes).await
    }

    /// Locks names until the guards are dropped. Locks are taken in one order, so no two calls wait for each other.
    pub(crate) async fn lock(&self, names: impl IntoIterator<Item = &str>) -> Vec<OwnedMutexGuard<()>> {
        let places: BTreeSet<u64> = names.into_iter().map(|name| xxh3_64(name.as_bytes()) % LOCKS).collect();
        let mut guards = Vec::with_capacity(places.len());
        for place in places {
            guards.push(Arc::clone(&self.locks[place as usize]).lock_owned().await);
        }
        guards
    }
}

fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
