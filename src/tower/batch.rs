//! Moments put together for one pass through the network.
//!
//! Invariant: a chunk is a run of one person's moments and the steps that any of them sees; the mask hides from each
//! moment what is not its own. Places that are empty are masked and weigh nothing. Made from the log alone: same chunks,
//! same batch. Absent on purpose: tensors.

use std::collections::HashMap;

use crate::domain::time::Millis;
use crate::tower::dataset::{FeedLog, Slice};
use crate::tower::history::{gap_features, summary};
use crate::tower::schema::{PersonCode, time_features};

/// Added to a score, it leaves no share.
pub const HIDDEN: f32 = -1e9;

/// A run of moments of one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Place of the first moment in the log.
    pub first: u32,
    /// How many.
    pub len: u32,
}

/// What a batch is made from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Steps and moments.
    pub log: &'a FeedLog,
    /// Codes of people, by their place.
    pub people: &'a [PersonCode],
    /// Topic rows of posts, by their place.
    pub topics: &'a [u32],
    /// Numbers of posts, `(posts, dense)`.
    pub dense: &'a [f32],
    /// Numbers of a post.
    pub width: usize,
    /// Moments of a chunk.
    pub moments: usize,
    /// Steps that a moment sees, at most.
    pub history: usize,
}

/// Arrays for the network; row by row.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Runs of moments.
    pub chunks: usize,
    /// Moments of each.
    pub moments: usize,
    /// Places for steps of each.
    pub steps: usize,
    /// Posts, each once, by their place in the tables.
    pub posts: Vec<u32>,
    /// Their topics' rows, `(items,)`.
    pub item_topics: Vec<i32>,
    /// Their numbers, `(items, dense)`.
    pub item_dense: Vec<f32>,
    /// Per category, the row of each chunk's person.
    pub person_categories: Vec<Vec<i32>>,
    /// `(chunks, numbers)`.
    pub person_numbers: Vec<f32>,
    /// `(chunks, moments, TIME_FEATURES)`.
    pub time: Vec<f32>,
    /// `(chunks, moments, SUMMARY)`.
    pub summary: Vec<f32>,
    /// Kinds of steps, each once: three times the item's place plus the sign's.
    pub step_kinds: Vec<i32>,
    /// Kind of each step, `(chunks, steps)`.
    pub step_rows: Vec<i32>,
    /// 0 where a moment sees a step, [`HIDDEN`] elsewhere, `(chunks, moments, steps)`.
    pub mask: Vec<f32>,
    /// `(chunks, moments, steps, GAP_FEATURES)`.
    pub gaps: Vec<f32>,
    /// Item of each moment, `(chunks, moments)`.
    pub targets: Vec<i32>,
    /// 1 where it was liked.
    pub labels: Vec<f32>,
    /// 1 where there is a moment.
    pub weights: Vec<f32>,
    /// For softmax: minus the logarithm of an item's share of the batches, [`HIDDEN`] where it was not there,
    /// `(chunks, moments, items)`.
    pub shifts: Vec<f32>,
}

impl Batch {
    /// How many items.
    #[must_use]
    pub fn items(&self) -> usize {
        self.posts.len()
    }
}

impl Source<'_> {
    /// Places for steps in a chunk.
    #[must_use]
    pub fn steps(&self) -> usize {
        if self.history == 0 { 0 } else { self.history + self.moments }
    }

    /// All moments of a slice in runs, in the order of the log.
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

    /// Puts chunks together.
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

/// When each post was there, and how often it is in a batch.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// First and last moment of each post in the whole log: outside of it, it is no negative.
    there: Vec<(Millis, Millis)>,
    /// Logarithm of its share of the training moments.
    log_share: Vec<f32>,
}

impl Shelf {
    /// From the log's moments.
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
    /// Fills in the shifts of a batch of these chunks.
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

/// Where posts and kinds of steps went, in the order in which they came.
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
