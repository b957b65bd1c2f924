//! Subscriptions to feeds: who listens to which channel, and the messages that wait.
//!
//! Invariant: clients, channels and waiting messages are bounded; a client that falls behind loses the oldest messages.
//! Deliberately absent: rights, and the protocol of clients (`stream`).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::domain::activities::FeedName;

use super::event_ids;

/// Clients of one app at most.
const CLIENTS_MAX: usize = 10_000;
/// Channels of one client at most.
const CHANNELS_MAX: usize = 100;
/// Messages that wait for one client at most.
const WAITING_MAX: usize = 256;
/// A client that asked nothing for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(120);

/// The subscriptions of an app.
#[derive(Default)]
pub struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    clients: HashMap<String, Client>,
    channels: BTreeMap<String, Channel>,
}

struct Client {
    channels: BTreeSet<String>,
    waiting: VecDeque<Value>,
    woken: Arc<Notify>,
    seen: Instant,
}

#[derive(Default)]
struct Channel {
    /// The feeds that the name of the channel may mean: it joins group and id.
    feeds: Vec<FeedName>,
    clients: BTreeSet<String>,
}

impl State {
    fn forget(&mut self, id: &str) -> bool {
        let Some(client) = self.clients.remove(id) else { return false };
        client.woken.notify_waiters();
        for name in &client.channels {
            self.leave(id, name);
        }
        true
    }

    fn leave(&mut self, id: &str, name: &str) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        channel.clients.remove(id);
        if channel.clients.is_empty() {
            self.channels.remove(name);
        }
    }
}

impl Hub {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new client; `None` while there are too many.
    pub(crate) fn join(&self) -> Option<String> {
        self.with(|state| {
            if state.clients.len() >= CLIENTS_MAX {
                let gone = |client: &Client| client.seen.elapsed() > FORGOTTEN_AFTER;
                let ids: Vec<String> =
                    state.clients.iter().filter(|(_, client)| gone(client)).map(|(id, _)| id.clone()).collect();
                ids.iter().for_each(|id| _ = state.forget(id));
            }
            if state.clients.len() >= CLIENTS_MAX {
                return None;
            }
            let id = event_ids::fresh().as_str().replace('-', "");
            let (channels, waiting, woken) = (BTreeSet::new(), VecDeque::new(), Arc::default());
            state.clients.insert(id.clone(), Client { channels, waiting, woken, seen: Instant::now() });
            Some(id)
        })
    }

    /// Whether a client is known; it counts as seen.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.with(|state| state.clients.get_mut(id).map(|client| client.seen = Instant::now()).is_some())
    }

    /// Subscribes a client; `false` for an unknown client, or one with too many channels.
    pub(crate) fn subscribe(&self, id: &str, name: &str, feeds: Vec<FeedName>) -> bool {
        self.with(|state| {
            let Some(client) = state.clients.get_mut(id).filter(|client| client.channels.len() < CHANNELS_MAX) else {
                return false;
            };
            client.channels.insert(name.to_owned());
            let channel = state.channels.entry(name.to_owned()).or_default();
            channel.feeds = feeds;
            channel.clients.insert(id.to_owned());
            true
        })
    }

    /// Takes a client over from the hub of another app; `false` for a client that neither knows.
    pub(crate) fn adopt(&self, id: &str, from: &Hub) -> bool {
        if std::ptr::eq(self, from) || self.knows(id) {
            return true;
        }
        // A client that has subscriptions stays where it is: its messages wait there.
        let moved = from.with(|state| {
            let is_free = state.clients.get(id).is_some_and(|client| client.channels.is_empty());
            is_free.then(|| state.clients.remove(id)).flatten()
        });
        match moved {
            Some(client) => {
                self.with(|state| state.clients.insert(id.to_owned(), client));
                true
            }
            None => false,
        }
    }

    /// Ends a subscription.
    pub(crate) fn unsubscribe(&self, id: &str, name: &str) {
        self.with(|state| {
            if let Some(client) = state.clients.get_mut(id) {
                client.channels.remove(name);
            }
            state.leave(id, name);
        });
    }

    /// Forgets a client; `false` for an unknown one.
    pub(crate) fn leave(&self, id: &str) -> bool {
        self.with(|state| state.forget(id))
    }

    /// Waits until a client has messages, at most for `patience`, and takes them.
    pub(crate) async fn take(&self, id: &str, patience: Duration) -> Vec<Value> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let found = self.with(|state| {
                let client = state.clients.get_mut(id)?;
                client.seen = Instant::now();
                let woken = Arc::clone(&client.woken);
                Some((client.waiting.drain(..).collect::<Vec<_>>(), woken.notified_owned()))
            });
            let Some((messages, woken)) = found else { return Vec::new() };
            if !messages.is_empty() || tokio::time::timeout_at(until, woken).await.is_err() {
                return messages;
            }
        }
    }

    /// Channels with subscribers, and the feeds that each may mean.
    pub(crate) fn subscribed(&self) -> Vec<(String, Vec<FeedName>)> {
        self.with(|state| state.channels.iter().map(|(name, one)| (name.clone(), one.feeds.clone())).collect())
    }

    /// Puts a message into the queues of a channel's subscribers.
    pub(crate) fn publish(&self, name: &str, data: &Value) {
        self.with(|state| {
            let ids: Vec<String> =
                state.channels.get(name).map(|one| one.clients.iter().cloned().collect()).unwrap_or_default();
            for id in ids {
                let Some(client) = state.clients.get_mut(&id) else { continue };
                if client.waiting.len() >= WAITING_MAX {
                    client.waiting.pop_front();
                }
                client.waiting.push_back(json!({ "channel": name, "data": data }));
                client.woken.notify_one();
            }
        });
    }
}
