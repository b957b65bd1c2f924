//! The serving engine as a ranker: `UserState` and `CoordinatorState`, through [`Offline`].
//!
//! Invariant: it learns by `UserState::apply` and scores by `UserState::scores`. Items are written when they first
//! open, and the end of a window when it is reached, so the engine cannot look ahead. Items that the log describes by
//! name alone share an embedding of one number, which carries no information and costs little.

use std::sync::Arc;

use super::ranker::Ranker;
use crate::domain::ids::{ItemId, Key, UserId};
use crate::domain::interactions::Interaction;
use crate::domain::items::{Author, Embedding};
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};
use crate::engine::blend::hedge::HedgeFigures;
use crate::engine::coordinator::{Draft, ItemWrite};
use crate::engine::rank::{RankRequest, Viewport};
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::TwoTower;
use crate::engine::user::UserEvent;
use crate::fold::{Learning, Offline, TICK_EVERY_MS};
use crate::replay::log::availability::Edge;
use crate::replay::log::{Act, Log};

/// Number of past windows per item; the engine has counted earlier ones.
const WINDOWS_KEPT: usize = 4;

/// The engine over a log.
pub struct Model<'a> {
    log: &'a Log,
    offline: Offline,
    /// Engine id by item of the log.
    ids: Vec<Option<ItemId>>,
    /// Last windows by item of the log; unused where items never close.
    windows: Vec<Vec<Window>>,
    /// True where some item closes; otherwise items stay available once they are written.
    has_windows: bool,
    /// Embedding of items without one.
    blank: Option<Embedding>,
    counted: Millis,
    /// Scratch: engine ids of the current candidates.
    candidates: Vec<ItemId>,
}

impl<'a> Model<'a> {
    /// An engine without learned rows.
    #[must_use]
    pub fn new(log: &'a Log, settings: Arc<LearnSettings>) -> Model<'a> {
        let dim = log.about.iter().find_map(|about| about.embedding.as_ref()).map_or(1, |embedding| embedding.len());
        let has_windows = log.availability.edges().iter().any(|edge| !edge.opens);
        let mut offline = Offline::unwritten(dim, settings);
        if log.has_views {
            offline.of_views();
        }
        Model {
            log,
            offline,
            ids: vec![None; log.items.len()],
            windows: if has_windows { vec![Vec::new(); log.items.len()] } else { Vec::new() },
            has_windows,
            // A direction shared by all items, which centring removes.
            blank: Embedding::new(vec![1.0 / (dim as f32).sqrt(); dim], dim).ok(),
            counted: Millis::MIN,
            candidates: Vec::new(),
        }
    }

    /// Sets the two-tower model; attributes by user of the log, JSON objects as text.
    pub fn set_tower(&mut self, model: Arc<dyn TwoTower>, attributes: &[Option<Arc<str>>]) {
        self.offline.set_tower(model);
        for (person, attributes) in (0..).zip(attributes) {
            if attributes.is_some() {
                self.offline.set_attributes(UserId(person), attributes.clone());
            }
        }
    }

    /// The engine in its current state.
    #[must_use]
    pub fn offline(&self) -> &Offline {
        &self.offline
    }

    /// Engine id of an item of the log; `None` before it opened or a user acted on it.
    #[must_use]
    pub fn known_as(&self, item: u32) -> Option<ItemId> {
        self.ids.get(item as usize).copied().flatten()
    }

    /// The feed of a user, for a viewport.
    #[must_use]
    pub fn feed(&self, user: u32, now: Millis, ask: RankRequest, screen: Viewport<'_>) -> Vec<ItemId> {
        self.offline.feed(UserId(user), now, ask, screen).into_iter().map(|one| one.item).collect()
    }

    /// Log-odds that the label of row `index` is positive.
    #[must_use]
    pub fn approval(&self, index: usize) -> f32 {
        let row = &self.log.rows[index];
        let id = self.ids[row.item as usize].unwrap_or(ItemId(u32::MAX));
        self.offline.approval(UserId(row.user), id, row.at)
    }

    /// Learns row `index` and returns the engine's result.
    pub fn act(&mut self, index: usize) -> Learning {
        let row = self.log.rows[index];
        let (id, at) = (Key::of_number(index as u32), row.at);
        let event = match row.act {
            Act::Followed => UserEvent::Followed { id, user: UserId(row.item), at },
            Act::Posted => UserEvent::Posted { id, item: self.known(row.item, at), at },
            Act::Interacted(kind) => UserEvent::Interacted(Interaction {
                id,
                item: self.known(row.item, at),
                kind,
                dwell_ms: row.dwell_ms(!self.log.has_presence),
                at,
                shown: None,
                passed: Vec::new(),
            }),
        };
        self.offline.act(UserId(row.user), event, at)
    }

    /// Engine id of an item; an item that was never open is written now.
    fn known(&mut self, item: u32, now: Millis) -> ItemId {
        if let Some(id) = self.ids[item as usize] {
            return id;
        }
        if self.has_windows && self.windows[item as usize].is_empty() {
            self.windows[item as usize].push(Window { start: now, stop: Some(now.plus(self.log.unit_ms)) });
        }
        self.write(&[item], now);
        self.ids[item as usize].unwrap_or(ItemId(u32::MAX))
    }

    /// Writes items in their current form.
    fn write(&mut self, items: &[u32], now: Millis) {
        let drafts = items.iter().map(|item| self.draft(*item)).collect();
        let written = self.offline.items(drafts, ItemWrite::Replace, now);
        for (item, written) in items.iter().zip(written) {
            // The engine never refuses a replacing write of a complete draft.
            self.ids[*item as usize] = written.ok().map(|written| written.id);
        }
    }

    fn draft(&self, item: u32) -> Draft {
        let about = self.log.about.get(item as usize);
        let author = about.and_then(|about| about.author);
        let author = author.map(|id| Author { id: UserId(id), key: self.log.users[id as usize].clone() });
        Draft {
            key: self.log.items[item as usize].clone(),
            author,
            topics: Some(about.map(|about| about.topics.clone()).unwrap_or_default()),
            text: Some(about.and_then(|about| about.text.clone()).unwrap_or_else(|| "".into())),
            attributes: about.and_then(|about| about.attributes.clone()),
            embedding: about.and_then(|about| about.embedding.clone()).or_else(|| self.blank.clone()),
            created: None,
            windows: self.windows_of(item),
        }
    }

    fn windows_of(&self, item: u32) -> Option<Windows> {
        self.windows.get(item as usize).map(|windows| Windows::new(windows.clone()).unwrap_or_default())
    }

    fn note_edge(&mut self, edge: &Edge) {
        let Some(windows) = self.windows.get_mut(edge.item as usize) else { return };
        match (edge.opens, windows.last_mut()) {
            (false, Some(last)) if last.stop.is_none() => last.stop = Some(edge.at),
            (false, _) => {}
            (true, last) => {
                // A user acted on it before it opened; the short window written then overlaps this one.
                if last.is_some_and(|last| last.stop.is_none_or(|stop| stop > edge.at)) {
                    windows.pop();
                }
                if windows.len() == WINDOWS_KEPT {
                    windows.remove(0);
                }
                windows.push(Window { start: edge.at, stop: None });
            }
        }
    }
}

impl Ranker for Model<'_> {
    fn name(&self) -> &'static str {
        "model"
    }

    fn is_log_odds(&self) -> bool {
        true
    }

    fn begin(&mut self, now: Millis, edges: &[Edge]) {
        if !edges.is_empty() {
            for edge in edges {
                self.note_edge(edge);
            }
            let mut items: Vec<u32> = edges.iter().map(|edge| edge.item).collect();
            items.sort_unstable();
            items.dedup();
            let (known, new): (Vec<u32>, Vec<u32>) =
                items.into_iter().partition(|item| self.ids[*item as usize].is_some());
            if !new.is_empty() {
                self.write(&new, now);
            }
            let known = known.into_iter().filter_map(|item| Some((self.ids[item as usize]?, self.windows_of(item)?)));
            let known = known.collect();
            self.offline.windows(known, now);
        }
        if now.since(self.counted) >= TICK_EVERY_MS {
            self.counted = now;
            self.offline.tick(now);
        }
    }

    fn scores(&mut self, user: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>) {
        let ids = &self.ids;
        self.candidates.clear();
        // Open items were written when they opened.
        self.candidates.extend(candidates.iter().map(|item| ids[*item as usize].unwrap_or(ItemId(u32::MAX))));
        self.offline.scores(UserId(user), &self.candidates, now, out);
    }

    fn learn(&mut self, index: usize) {
        self.act(index);
    }

    fn hedge(&self) -> Option<HedgeFigures> {
        Some(self.offline.coordinator().hedge())
    }
}
