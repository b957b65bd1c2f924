//! The accepted/rejected protocol: predict, score, learn; one user per file.
//!
//! Invariant: each sentence is scored before its label is learned, one sentence at a time. A file with one kind of
//! label has no ROC AUC, and no part in the mean. The catalogue is known beforehand, the labels are not. Equal files
//! and seed give equal figures, with a shared catalogue or one for each file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::domain::ids::{FeedVersion, ItemId, Key, UserId};
use crate::domain::interactions::{Interaction, Kind, Passed, Shown};
use crate::domain::items::Embedding;
use crate::domain::journal::What;
use crate::domain::time::Millis;
use crate::engine::coordinator::{Draft, ItemWrite};
use crate::engine::metrics::progressive::{Progress, roc_auc};
use crate::engine::settings::LearnSettings;
use crate::engine::user::{Effect, UserEvent, UserState};
use crate::fold::Offline;

use super::classifiers::{self, Classifier, centred};
use super::metrics::ratio;
use super::report::{Labelled, LabelledBaseline, Report};

/// One file: the sentences shown to one user for one search.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Name of the file, which becomes the topic and the user.
    pub name: Key,
    /// Sentences in the order of the file.
    pub rows: Vec<JudgedRow>,
}

/// A sentence with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedRow {
    /// Text of the sentence.
    pub text: String,
    /// Label: true for accepted.
    pub accepted: bool,
    /// Embedding of the sentence, `(dim,)`.
    pub embedding: Embedding,
}

/// Parameters of the protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelledOptions {
    /// Number of shuffled orders per file; 0 replays each file once, in its own order.
    pub shuffles: u32,
    /// Seed of the orders.
    pub seed: u64,
    /// True for a catalogue per file, false for a shared one.
    pub separate: bool,
    /// Implicit feedback: rejected sentences are only seen, and so is this share of the accepted ones. `None` learns all labels.
    pub unsaid: Option<f64>,
}

/// Reason why files cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelledError {
    /// The files have no sentence.
    #[error("no sentences found: give files or a folder of JSON lists of {{text, label, embedding}}")]
    Nothing,
}

/// Writes the sentences of all queries into a catalogue: each query a topic, each row an item named `{query}/{row}`.
/// Returns the items by query and row.
pub fn upsert_items(offline: &mut Offline, queries: &[Query], now: Millis) -> Vec<Vec<ItemId>> {
    let mut all = Vec::with_capacity(queries.len());
    for query in queries {
        let drafts = query.rows.iter().enumerate().map(|(index, row)| Draft {
            attributes: None,
            key: row_key(&query.name, index),
            author: None,
            topics: Some(vec![query.name.clone()]),
            text: Some(row.text.as_str().into()),
            embedding: Some(row.embedding.clone()),
            created: Some(now),
            windows: None,
        });
        let drafts = drafts.collect();
        let written = offline.items(drafts, ItemWrite::Replace, now);
        // The engine never refuses a replacing write of a complete draft.
        all.push(written.into_iter().filter_map(Result::ok).map(|written| written.id).collect());
    }
    offline.recentre(now);
    all
}

/// Key of a row: the key of its query, shortened where needed, and the number of the row.
#[must_use]
pub fn row_key(query: &Key, index: usize) -> Key {
    let mut end = query.as_str().len().min(240);
    while !query.as_str().is_char_boundary(end) {
        end -= 1;
    }
    Key::new(&format!("{}/{}", &query.as_str()[..end], index + 1)).unwrap_or_else(|_| Key::of_number(index as u32))
}

/// The event of a judged row.
#[must_use]
pub fn row_event(query: &Key, index: usize, item: ItemId, accepted: bool, at: Millis) -> UserEvent {
    let kind = if accepted { Kind::Accept } else { Kind::Reject };
    UserEvent::Answered(Interaction {
        id: row_key(query, index),
        item,
        kind,
        dwell_ms: None,
        at,
        shown: None,
        passed: Vec::new(),
    })
}

/// Replays all files; `each` runs after every order of every file.
///
/// # Errors
/// [`LabelledError`] names the file and entry that cannot be used.
pub fn replay(
    queries: &[Query],
    settings: &Arc<LearnSettings>,
    options: LabelledOptions,
    mut each: impl FnMut(),
) -> Result<Report, LabelledError> {
    let dim = queries.iter().flat_map(|query| &query.rows).next().ok_or(LabelledError::Nothing)?.embedding.len();
    let now = Millis(0);
    let groups: Vec<&[Query]> =
        if options.separate { queries.iter().map(std::slice::from_ref).collect() } else { vec![queries] };
    let orders = options.shuffles.max(1);
    let mut progress = Progress::default();
    let mut per_file = BTreeMap::new();
    let mut pooled: Vec<(Vec<f32>, Vec<bool>)> = vec![Default::default(); orders as usize];
    let mut baselines: Vec<BaselineRun> =
        classifiers::NAMES.iter().map(|name| BaselineRun::new(name, dim, orders)).collect();
    let (mut events, mut seconds) = (0_u64, 0.0);
    for group in groups {
        let mut offline = Offline::new(dim, settings.clone());
        let items = upsert_items(&mut offline, group, now);
        for (query, items) in group.iter().zip(&items) {
            let (mut sum, mut defined) = (0.0, 0.0);
            let centred = centred(query.rows.iter().map(|row| &row.embedding[..]));
            for order in 0..orders {
                let mut rows: Vec<usize> = (0..query.rows.len()).collect();
                if options.shuffles > 0 {
                    // Each order has its own seed, so a file's order does not depend on the other files.
                    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(
                        options.seed.wrapping_mul(1_000_003) + u64::from(order),
                    ));
                }
                for baseline in baselines.iter_mut().filter(|_| options.unsaid.is_none()) {
                    baseline.replay(order, query, &centred, &rows);
                }
                let started = Instant::now();
                let mut person = UserState::new(UserId(0));
                let (mut scores, mut labels) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
                if let Some(unsaid) = options.unsaid {
                    let judged = Implicit { query, items, offline: &offline, unsaid, seed: options.seed, order, now };
                    (scores, labels) = judged.replay(&rows);
                    for (score, label) in scores.iter().zip(&labels) {
                        progress.record(*score, *label);
                    }
                    rows.clear();
                }
                for row in rows {
                    let accepted = query.rows[row].accepted;
                    let event = row_event(&query.name, row, items[row], accepted, now);
                    for effect in person.apply(event, offline.world(), now) {
                        if let Effect::Journal(entry) = effect
                            && let What::Interacted(learned) = entry.what
                        {
                            scores.push(learned.predicted.online);
                            labels.push(accepted);
                            progress.record(learned.predicted.online, accepted);
                        }
                    }
                }
                seconds += started.elapsed().as_secs_f64();
                events += scores.len() as u64;
                if let Some(auc) = roc_auc(&scores, &labels) {
                    sum += auc;
                    defined += 1.0;
                }
                pooled[order as usize].0.extend(scores);
                pooled[order as usize].1.extend(labels);
                each();
            }
            per_file.insert(query.name.as_str().to_owned(), ratio(sum, defined));
            for baseline in &mut baselines {
                baseline.end_file(query);
            }
        }
    }
    Ok(Report {
        format: "accepted-rejected".to_owned(),
        protocol: "labelled".to_owned(),
        seed: options.seed,
        events,
        test_events: events,
        seconds,
        labelled: Some(Labelled {
            auc_mean: mean(per_file.values().copied().flatten().collect()),
            auc_pooled: mean(pooled.iter().filter_map(|(scores, labels)| roc_auc(scores, labels)).collect()),
            log_loss: progress.log_loss(),
            ece: progress.ece(),
            per_file,
            baselines: match options.unsaid {
                None => baselines.into_iter().map(BaselineRun::report).collect(),
                Some(_) => BTreeMap::new(),
            },
        }),
        ..Report::default()
    })
}

/// A file whose user reads from the top, visits accepted sentences, and leaves all others without a word.
struct Implicit<'a> {
    query: &'a Query,
    items: &'a [ItemId],
    offline: &'a Offline,
    unsaid: f64,
    seed: u64,
    order: u32,
    now: Millis,
}

impl Implicit<'_> {
    /// Predicts each row before it is learned. Rows that were left become weak negatives of the next visited row, as
    /// `learn.signals.passed_weight` weighs them. Returns log-odds and labels in the order of the rows.
    fn replay(&self, rows: &[usize]) -> (Vec<f32>, Vec<bool>) {
        let mut chance = ChaCha8Rng::seed_from_u64(self.seed.wrapping_mul(7_919).wrapping_add(u64::from(self.order)));
        let mut person = UserState::new(UserId(0));
        let (mut scores, mut labels, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for &row in rows {
            let (item, accepted) = (self.items[row], self.query.rows[row].accepted);
            scores.push(person.predict(self.offline.world(), item).map_or(0.0, |prediction| prediction.log_odds));
            labels.push(accepted);
            let is_left = chance.random_bool(self.unsaid);
            if !accepted || is_left {
                left.push(Passed { item, seen: true });
                continue;
            }
            let interaction = Interaction {
                id: row_key(&self.query.name, row),
                item,
                kind: Kind::Accept,
                dwell_ms: None,
                at: self.now,
                shown: Some(Shown { version: FeedVersion(0), position: left.len() as u16, propensity: 1.0 }),
                passed: std::mem::take(&mut left),
            };
            person.apply(UserEvent::Interacted(interaction), self.offline.world(), self.now);
        }
        (scores, labels)
    }
}

fn mean(values: Vec<f64>) -> Option<f64> {
    ratio(values.iter().sum(), values.len() as f64)
}

/// Progressive figures of one classifier over all files and orders.
struct BaselineRun {
    name: &'static str,
    dim: usize,
    progress: Progress,
    has_odds: bool,
    /// AUCs of the orders of the current file.
    of_file: Vec<f64>,
    pooled: Vec<(Vec<f32>, Vec<bool>)>,
    per_file: BTreeMap<String, Option<f64>>,
}

impl BaselineRun {
    fn new(name: &'static str, dim: usize, orders: u32) -> BaselineRun {
        let pooled = vec![Default::default(); orders as usize];
        let (progress, of_file, per_file) = (Progress::default(), Vec::new(), BTreeMap::new());
        BaselineRun { name, dim, progress, has_odds: false, of_file, pooled, per_file }
    }

    /// Predicts each row of a file before learning it, in one order of the rows.
    fn replay(&mut self, order: u32, query: &Query, embeddings: &[Vec<f32>], rows: &[usize]) {
        let Some(mut classifier) = Classifier::make(self.name, self.dim) else { return };
        self.has_odds = classifier.has_odds();
        let (mut scores, mut labels) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for &row in rows {
            let (embedding, accepted) = (&embeddings[row], query.rows[row].accepted);
            let score = classifier.score(embedding);
            self.progress.record(score, accepted);
            scores.push(score);
            labels.push(accepted);
            classifier.learn(embedding, accepted);
        }
        self.of_file.extend(roc_auc(&scores, &labels));
        self.pooled[order as usize].0.extend(scores);
        self.pooled[order as usize].1.extend(labels);
    }

    fn end_file(&mut self, query: &Query) {
        self.per_file.insert(query.name.as_str().to_owned(), mean(std::mem::take(&mut self.of_file)));
    }

    fn report(self) -> (String, LabelledBaseline) {
        let figures = LabelledBaseline {
            auc_mean: mean(self.per_file.values().copied().flatten().collect()),
            auc_pooled: mean(self.pooled.iter().filter_map(|(scores, labels)| roc_auc(scores, labels)).collect()),
            log_loss: self.progress.log_loss().filter(|_| self.has_odds),
            ece: self.progress.ece().filter(|_| self.has_odds),
            per_file: self.per_file,
        };
        (self.name.to_owned(), figures)
    }
}
