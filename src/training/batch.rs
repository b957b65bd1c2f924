//! Batches: the arrays that one pass through the network reads.
//!
//! Invariant: a chunk is a run of one user's views with the steps that any of them sees. The mask hides all other
//! steps from each view. Padding is masked and weighs nothing. Equal chunks of a log give equal batches. Absent on
//! purpose: tensors.

use std::collections::HashMap;

use crate::domain::time::Millis;
use crate::tower::history::{gap_features, summary};
use crate::tower::schema::{PersonCode, time_features};
use crate::training::dataset::{FeedLog, Slice};

/// Score offset that reduces an attention or softmax weight to zero.
pub const HIDDEN: f32 = -1e9;

/// A run of consecutive views of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Index of the first view in the log.
    pub first: u32,
    /// Number of views in the run.
    pub len: u32,
}

/// The data and sizes that batches are built from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// History steps and views.
    pub log: &'a FeedLog,
    /// Encoded user attributes, by user index.
    pub people: &'a [PersonCode],
    /// Topic rows, by post index.
    pub topics: &'a [u32],
    /// Dense item features, `(posts, dense)`.
    pub dense: &'a [f32],
    /// Number of dense features of a post.
    pub width: usize,
    /// Number of view slots in a chunk.
    pub moments: usize,
    /// Number of steps that a view sees, at most.
    pub history: usize,
}

/// Input arrays of the network, row by row.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Number of chunks.
    pub chunks: usize,
    /// Number of view slots in a chunk.
    pub moments: usize,
    /// Number of step slots in a chunk.
    pub steps: usize,
    /// Distinct posts of the batch, by their index in the tables.
    pub posts: Vec<u32>,
    /// Topic row of each distinct post, `(items,)`.
    pub item_topics: Vec<i32>,
    /// Dense features of each distinct post, `(items, dense)`.
    pub item_dense: Vec<f32>,
    /// Per category, the row of each chunk's user.
    pub person_categories: Vec<Vec<i32>>,
    /// Numeric user features, `(chunks, numbers)`.
    pub person_numbers: Vec<f32>,
    /// Time features, `(chunks, moments, TIME_FEATURES)`.
    pub time: Vec<f32>,
    /// History summaries, `(chunks, moments, SUMMARY)`.
    pub summary: Vec<f32>,
    /// Distinct pairs of item and sign: three times the item's index plus the sign's.
    pub step_kinds: Vec<i32>,
    /// Index into `step_kinds` of each step, `(chunks, steps)`.
    pub step_rows: Vec<i32>,
    /// Attention mask, `(chunks, moments, steps)`: 0 where a view sees a step, [`HIDDEN`] elsewhere.
    pub mask: Vec<f32>,
    /// Age features, `(chunks, moments, steps, GAP_FEATURES)`.
    pub gaps: Vec<f32>,
    /// Item of each view, `(chunks, moments)`.
    pub targets: Vec<i32>,
    /// Labels: 1 for a like, `(chunks, moments)`.
    pub labels: Vec<f32>,
    /// Example weights: 1 for a view, 0 for padding, `(chunks, moments)`.
    pub weights: Vec<f32>,
    /// Softmax offsets, `(chunks, moments, items)`: minus the log of an item's share of batches (logQ), or [`HIDDEN`]
    /// for an item that was unavailable.
    pub shifts: Vec<f32>,
}

impl Batch {
    /// Number of distinct items in the batch.
    #[must_use]
    pub fn items(&self) -> usize {
        self.posts.len()
    }
}

impl Source<'_> {
    /// Number of step slots in a chunk.
    #[must_use]
    pub fn steps(&self) -> usize {
        if self.history == 0 { 0 } else { self.history + self.moments }
    }

    /// Splits all views of a slice into chunks, in the order of the log.
    #[must_use]
    pub fn chunks(&self, slice: Slice) -> Vec<Chunk> {
        let (mut chunks, steps): (Vec<Chunk>, _) = (Vec::new(), self.steps());
        for (place, moment) in self.log.moments.iter().enumerate() {
            if moment.slice != slice {
                continue;
            }
            if let Some(last) = chunks.last_mut() {
                let first = &self.log.moments[last.first as usize];
                let joins = first.person == moment.person
                    && last.first + last.len == place as u32
                    && (last.len as usize) < self.moments
                    && (steps == 0 || moment.before as usize - self.log.window(first, self.history).start <= steps);
                if joins {
                    last.len += 1;
                    continue;
                }
            }
            chunks.push(Chunk { first: place as u32, len: 1 });
        }
        chunks
    }

    /// Builds the batch of `chunks`.
    #[must_use]
    pub fn batch(&self, chunks: &[Chunk]) -> Batch {
        let (moments, steps) = (self.moments, self.steps());
        let rows = chunks.len() * moments;
        let mut batch = Batch {
            chunks: chunks.len(),
            moments,
            steps,
            person_categories: vec![
                Vec::with_capacity(chunks.len());
                self.people.first().map_or(0, |p| p.categories.len())
            ],
            time: Vec::with_capacity(rows * 6),
            step_rows: vec![0; chunks.len() * steps],
            mask: vec![HIDDEN; rows * steps],
            gaps: vec![0.0; rows * steps * crate::tower::history::GAP_FEATURES],
            targets: vec![0; rows],
            labels: vec![0.0; rows],
            weights: vec![0.0; rows],
            ..Batch::default()
        };
        let mut places = Places::default();
        for (number, chunk) in chunks.iter().enumerate() {
            self.add(&mut batch, &mut places, number, *chunk);
        }
        if steps > 0 && batch.step_kinds.is_empty() {
            batch.step_kinds.push(0); // Masked places need a row to point at.
        }
        for post in &batch.posts {
            batch.item_topics.push(self.topics[*post as usize] as i32);
            let from = *post as usize * self.width;
            batch.item_dense.extend_from_slice(&self.dense[from..from + self.width]);
        }
        batch
    }

    fn add(&self, batch: &mut Batch, places: &mut Places, number: usize, chunk: Chunk) {
        let moments = &self.log.moments[chunk.first as usize..(chunk.first + chunk.len) as usize];
        let first = &moments[0];
        let person = &self.people[first.person as usize];
        for (rows, row) in batch.person_categories.iter_mut().zip(&person.categories) {
            rows.push(*row as i32);
        }
        batch.person_numbers.extend_from_slice(&person.numbers);
        let from = self.log.window(first, self.history).start;
        if batch.steps > 0 {
            let to = moments[moments.len() - 1].before as usize;
            for (place, step) in self.log.steps[from..to].iter().enumerate() {
                let kind = 3 * places.item(&mut batch.posts, step.post) + i32::from(step.sign);
                batch.step_rows[number * batch.steps + place] = places.kind(&mut batch.step_kinds, kind);
            }
        }
        for place in 0..batch.moments {
            let Some(moment) = moments.get(place) else {
                batch.time.extend(time_features(first.at));
                batch.summary.extend(summary([0; 3], None, first.at));
                continue;
            };
            let row = number * batch.moments + place;
            batch.targets[row] = places.item(&mut batch.posts, moment.post);
            batch.labels[row] = f32::from(u8::from(moment.liked));
            batch.weights[row] = 1.0;
            batch.time.extend(time_features(moment.at));
            let window = self.log.window(moment, self.history);
            let mut counts = [0; 3];
            for index in window.clone() {
                let step = &self.log.steps[index];
                counts[step.sign as usize] += 1;
                let cell = row * batch.steps + index - from;
                batch.mask[cell] = 0.0;
                let gaps = gap_features(moment.at.since(step.at), window.end - 1 - index);
                batch.gaps[cell * gaps.len()..(cell + 1) * gaps.len()].copy_from_slice(&gaps);
            }
            let last = window.last().map(|index| self.log.steps[index].at);
            batch.summary.extend(summary(counts, last, moment.at));
        }
    }
}

/// Availability and batch frequency of each post, for softmax training.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// First and last view of each post in the whole log; outside this span it serves as no negative.
    there: Vec<(Millis, Millis)>,
    /// Log of each post's share of the training views.
    log_share: Vec<f32>,
}

impl Shelf {
    /// Derives spans and shares from the views of a log.
    #[must_use]
    pub fn new(log: &FeedLog, posts: usize) -> Shelf {
        let mut there = vec![(Millis::MAX, Millis::MIN); posts];
        let mut count = vec![0.5_f32; posts];
        for moment in &log.moments {
            let (from, to) = &mut there[moment.post as usize];
            (*from, *to) = ((*from).min(moment.at), (*to).max(moment.at));
            if moment.slice == Slice::Train {
                count[moment.post as usize] += 1.0;
            }
        }
        let total: f32 = count.iter().sum();
        Shelf { there, log_share: count.iter().map(|count| (count / total).ln()).collect() }
    }
}

impl Source<'_> {
    /// Fills in `shifts` for a batch of these chunks.
    pub fn shift(&self, batch: &mut Batch, chunks: &[Chunk], shelf: &Shelf) {
        batch.shifts = Vec::with_capacity(batch.chunks * batch.moments * batch.items());
        for (number, chunk) in chunks.iter().enumerate() {
            for place in 0..batch.moments {
                let moment = self.log.moments[(chunk.first + (place as u32).min(chunk.len - 1)) as usize];
                let target = batch.targets[number * batch.moments + place] as usize;
                batch.shifts.extend(batch.posts.iter().enumerate().map(|(item, post)| {
                    let (from, to) = shelf.there[*post as usize];
                    let visible = item == target || (from <= moment.at && moment.at <= to);
                    if visible { -shelf.log_share[*post as usize] } else { HIDDEN }
                }));
            }
        }
    }
}

/// Numbers posts and pairs of item and sign in order of first occurrence.
#[derive(Default)]
struct Places {
    items: HashMap<u32, i32>,
    kinds: HashMap<i32, i32>,
}

impl Places {
    fn item(&mut self, posts: &mut Vec<u32>, post: u32) -> i32 {
        *self.items.entry(post).or_insert_with(|| {
            posts.push(post);
            posts.len() as i32 - 1
        })
    }

    fn kind(&mut self, kinds: &mut Vec<i32>, kind: i32) -> i32 {
        *self.kinds.entry(kind).or_insert_with(|| {
            kinds.push(kind);
            kinds.len() as i32 - 1
        })
    }
}
