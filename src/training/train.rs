//! The training loop: seeded order of examples, a moving average of the weights, early stopping on the validation
//! slice.
//!
//! Invariant: equal tables, settings and seed give one model, bit by bit, for any number of threads and after any
//! resume. Views of validation and test enter later histories only. Memory holds the tables, the log and a few
//! batches.
//! Absent on purpose: files, clocks, progress bars.

use std::thread;

use burn_tensor::backend::AutodiffBackend;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::domain::time::Millis;
use crate::tables::{Action, Tables};
use crate::tower::checkpoint::{Checkpoint, CheckpointError, Quality, Summary};
use crate::tower::layout::{Part, Shapes, Sizes};
use crate::tower::schema::{Components, PersonCode, Schema, Similarity};
use crate::training::baselines::baselines;
use crate::training::batch::{Batch, Chunk, Shelf, Source};
use crate::training::dataset::{FeedLog, Fractions, Slice};
use crate::training::gradient::{AdamW, Loss, append, clip, gradient};
use crate::training::init;
use crate::training::network::Network;
use crate::training::quality::{calibration, quality};
use crate::training::schema_fit::{facts, fit};

/// Number of shards of a batch; fixed, so that sums do not depend on the number of threads.
const SHARDS: usize = 4;
/// Number of views in a chunk.
const MOMENTS: usize = 16;
const BATCH_MAX: usize = 2_048;
const BATCH_MIN: usize = 128;
/// Target number of steps in an epoch, which decides the batch size of large tables.
const STEPS_PER_EPOCH: usize = 200;
const CLIP: f32 = 1.0;
const DECAY: f32 = 0.01;
/// Steps of linear warm-up of the learning rate.
const WARM_UP: u64 = 50;
/// Decay of the moving average of the weights, per step.
const MEAN_KEEPS: f32 = 0.995;
/// Factor on the learning rate after an epoch without a gain.
const RATE_AFTER: f32 = 0.3;
/// Smallest gain of the validation AUC that counts.
const GAIN_MIN: f64 = 1e-4;

/// Hyperparameters and environment of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSettings {
    /// Sizes of the network.
    pub sizes: Sizes,
    /// Similarity of user vectors and item vectors, which the model's schema keeps.
    pub similarity: Similarity,
    /// Limit on passes over the training slice.
    pub epochs: u32,
    /// Epochs without a gain before training stops; the learning rate falls at each.
    pub patience: u32,
    /// Number of views in a batch; `None` chooses it by the number of rows.
    pub batch: Option<usize>,
    /// Learning rate after the warm-up.
    pub rate: f32,
    /// Shares of the log for validation and test.
    pub fractions: Fractions,
    /// Loss to minimise; `None` chooses cross-entropy where both labels occur, else softmax.
    pub loss: Option<Loss>,
    /// Seed of initial weights, order of examples and negatives.
    pub seed: u64,
    /// Number of threads; at most 4 are used.
    pub threads: usize,
    /// Creation time that the summary records.
    pub created: Millis,
}

impl Default for TrainSettings {
    fn default() -> TrainSettings {
        TrainSettings {
            sizes: Sizes::default(),
            similarity: Similarity::Dot,
            epochs: 10,
            patience: 3,
            batch: None,
            rate: 3e-3,
            fractions: Fractions { test: 0.1, validation: 0.1 },
            loss: None,
            seed: 1,
            threads: SHARDS,
            created: Millis(0),
        }
    }
}

/// Reason why training fails.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A slice lacks rows or one of both outcomes.
    #[error(
        "the {slice} slice of the feed has {rows} views, {liked} of them liked, and needs both outcomes: give more rows, or other fractions"
    )]
    Slice {
        /// Name of the slice.
        slice: &'static str,
        /// Number of views in the slice.
        rows: usize,
        /// Number of liked views in the slice.
        liked: usize,
    },
    /// A saved state belongs to other tables, other settings or another version.
    #[error("the saved state {0}: train again, without --resume")]
    State(&'static str),
    /// The loss is not finite.
    #[error("the loss is not finite: choose a learning rate below {rate}")]
    Diverged {
        /// Learning rate of the training.
        rate: f32,
    },
    /// The model exceeds the limits of a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Progress report after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Epoch, from 1.
    pub epoch: u32,
    /// Step within the epoch, from 1.
    pub step: u64,
    /// Number of steps in an epoch.
    pub steps: u64,
    /// Number of views learned in this epoch so far.
    pub rows: u64,
    /// Mean loss per view in this epoch so far.
    pub loss: f64,
    /// Quality on the validation slice; only at the end of an epoch.
    pub validation: Option<Quality>,
}

/// A running training, advanced step by step.
#[derive(Debug)]
pub struct Training<B: AutodiffBackend> {
    settings: TrainSettings,
    schema: Schema,
    components: Components,
    shapes: Shapes,
    log: FeedLog,
    people: Vec<PersonCode>,
    topics: Vec<u32>,
    dense: Vec<f32>,
    shelf: Option<Shelf>,
    loss: Loss,
    batch: usize,
    chunks: Vec<Chunk>,
    decay: Vec<f32>,
    fingerprint: u64,
    items: usize,
    state: State,
    device: B::Device,
}

/// All state that changes while training runs; saved for resuming.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    fingerprint: u64,
    weights: Vec<f32>,
    optimiser: AdamW,
    mean: Vec<f32>,
    best: Vec<f32>,
    best_auc: f64,
    best_epoch: u32,
    without_gain: u32,
    rate: f32,
    /// Completed epochs, and steps of the current one.
    epoch: u32,
    step: u64,
    rows: u64,
    loss_sum: f64,
}

/// First byte of a saved state: its format.
const STATE_FORMAT: u8 = 1;

impl<B: AutodiffBackend> Training<B> {
    /// Prepares a training: splits the log, fits the schema, initialises weights.
    ///
    /// # Errors
    /// [`TrainError::Slice`] where a slice lacks rows or one of both outcomes.
    pub fn new(tables: &Tables, settings: &TrainSettings, device: B::Device) -> Result<Training<B>, TrainError> {
        let mut log = FeedLog::new(&tables.feed, tables.people.len(), settings.fractions);
        let loss = settings.loss.unwrap_or(if log.both { Loss::CrossEntropy } else { Loss::Softmax });
        if !log.both {
            log.add_negatives(tables.posts.len(), settings.seed);
        }
        check_slices(&log, loss, settings.fractions)?;
        let (mut schema, components) = fit(tables, &log);
        schema.similarity = settings.similarity;
        let people = tables.people.iter().map(|person| schema.person.code(person.attributes.as_deref())).collect();
        let (mut topics, mut dense) = (Vec::with_capacity(tables.posts.len()), Vec::new());
        for post in &tables.posts {
            let numbers: Vec<(&str, f32)> = post.numbers.iter().map(|(name, x)| (name.as_str(), *x)).collect();
            let facts = facts(post, &numbers);
            topics.push(schema.item.topic(facts.topic));
            schema.item.push(&facts, &components, &mut dense);
        }
        let shapes = Shapes::new(&schema, &settings.sizes);
        let train = || log.moments.iter().filter(|moment| moment.slice == Slice::Train);
        let (rows, liked) = (train().count(), train().filter(|moment| moment.liked).count());
        let prior = if log.both { ((liked as f32 + 0.5) / ((rows - liked) as f32 + 0.5)).ln() } else { 0.0 };
        let weights = init::weights(&schema, &shapes, prior, settings.seed);
        let round = |batch: usize| batch.div_ceil(SHARDS * MOMENTS) * SHARDS * MOMENTS;
        let batch = round(settings.batch.unwrap_or((rows / STEPS_PER_EPOCH).clamp(BATCH_MIN, BATCH_MAX)));
        let decay = shapes.all.iter().flat_map(|shape| {
            let decay = if shape.vector { 0.0 } else { DECAY };
            std::iter::repeat_n(decay, shape.len())
        });
        let fingerprint = fingerprint(tables, settings);
        let state = State {
            fingerprint,
            optimiser: AdamW::new(weights.len()),
            mean: weights.clone(),
            best: weights.clone(),
            weights,
            best_auc: 0.0,
            best_epoch: 0,
            without_gain: 0,
            rate: settings.rate,
            epoch: 0,
            step: 0,
            rows: 0,
            loss_sum: 0.0,
        };
        let shelf = (loss == Loss::Softmax).then(|| Shelf::new(&log, tables.posts.len()));
        let mut training = Training {
            decay: decay.collect(),
            settings: settings.clone(),
            schema,
            components,
            shapes,
            people,
            topics,
            dense,
            shelf,
            loss,
            batch,
            chunks: Vec::new(),
            fingerprint,
            items: tables.posts.len(),
            log,
            state,
            device,
        };
        training.order();
        Ok(training)
    }

    /// Resumes from a saved state.
    ///
    /// # Errors
    /// [`TrainError::State`] when the bytes are no state, or one of other tables or settings.
    pub fn resume(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        let Some((&STATE_FORMAT, bytes)) = bytes.split_first() else {
            return Err(TrainError::State("was saved by another version of this program"));
        };
        let state: State = postcard::from_bytes(bytes).map_err(|_| TrainError::State("is damaged"))?;
        if state.fingerprint != self.fingerprint {
            return Err(TrainError::State("belongs to other tables or settings"));
        }
        let weights = self.shapes.total();
        let all = [&state.weights, &state.mean, &state.best, &state.optimiser.first, &state.optimiser.second];
        if all.iter().any(|numbers| numbers.len() != weights) {
            return Err(TrainError::State("is damaged"));
        }
        self.state = state;
        self.order();
        Ok(())
    }

    /// Serialises the state for [`Training::resume`].
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        let mut bytes = vec![STATE_FORMAT];
        bytes.extend(postcard::to_stdvec(&self.state).unwrap_or_default());
        bytes
    }

    /// Number of completed epochs.
    #[must_use]
    pub fn epochs(&self) -> u32 {
        self.state.epoch
    }

    /// The dataset with its slices.
    #[must_use]
    pub fn log(&self) -> &FeedLog {
        &self.log
    }

    /// The fitted feature schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Takes one step, and evaluates the validation slice at the end of an epoch. `None` when training is complete.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] when the loss is not finite.
    pub fn advance(&mut self) -> Result<Option<Progress>, TrainError> {
        if self.is_done() {
            return Ok(None);
        }
        let per_step = self.batch / MOMENTS;
        let steps = self.chunks.len().div_ceil(per_step) as u64;
        let from = self.state.step as usize * per_step;
        let chunks = &self.chunks[from..(from + per_step).min(self.chunks.len())];
        let rows: u64 = chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        let (mut sum, loss) = self.gradient(chunks);
        if !loss.is_finite() {
            return Err(TrainError::Diverged { rate: self.state.rate });
        }
        sum.iter_mut().for_each(|x| *x /= rows as f32);
        clip(&mut sum, CLIP);
        let state = &mut self.state;
        let rate = state.rate * ((state.optimiser.steps + 1) as f32 / WARM_UP as f32).min(1.0);
        state.optimiser.step(&mut state.weights, &sum, &self.decay, rate);
        let taken = state.optimiser.steps as f32;
        let keeps = MEAN_KEEPS.min(taken / (taken + 9.0));
        for (mean, weight) in state.mean.iter_mut().zip(&state.weights) {
            *mean = keeps * *mean + (1.0 - keeps) * weight;
        }
        (state.step, state.rows, state.loss_sum) = (state.step + 1, state.rows + rows, state.loss_sum + loss);
        let mut progress = Progress {
            epoch: state.epoch + 1,
            step: state.step,
            steps,
            rows: state.rows,
            loss: state.loss_sum / state.rows.max(1) as f64,
            validation: None,
        };
        if progress.step == steps {
            progress.validation = Some(self.end_epoch());
        }
        Ok(Some(progress))
    }

    /// The calibrated model with the weights of the best validation epoch.
    #[must_use]
    pub fn finish(&self) -> Checkpoint {
        let mut weights = self.state.best.clone();
        let (odds, liked) = self.scores(&weights, Slice::Validation);
        let [slope, intercept] = calibration(&odds, &liked);
        let output = &mut weights[self.shapes.part(Part::Output)];
        (output[0], output[1]) = (output[0] * slope, output[1] * slope + intercept);
        let check = |slice: Slice| {
            let (odds, liked) = self.scores(&weights, slice);
            Some(quality(&odds, &liked)).filter(|found| found.rows > 0)
        };
        let learned = || self.log.moments.iter().filter(|moment| moment.slice == Slice::Train);
        let summary = Summary {
            program: concat!("eddyline ", env!("CARGO_PKG_VERSION")).to_owned(),
            created_ms: self.settings.created.0,
            learned_until_ms: learned().map(|moment| moment.at.0).max().unwrap_or_default(),
            learned_rows: learned().count() as u64,
            people: self.people.len() as u64,
            items: self.items as u64,
            epochs: f64::from(self.state.best_epoch),
            loss: match self.loss {
                Loss::CrossEntropy => "cross_entropy",
                Loss::Softmax => "softmax",
            }
            .to_owned(),
            seed: self.settings.seed,
            validation: check(Slice::Validation),
            test: check(Slice::Test),
            calibration: Some([slope, intercept]),
        };
        Checkpoint::new(self.schema.clone(), self.settings.sizes, summary, self.components.clone(), weights)
    }

    /// Quality of a model on a slice; a slice with more than `moments_max` views is sampled at even distances.
    #[must_use]
    pub fn quality(&self, model: &Checkpoint, slice: Slice, moments_max: usize) -> Quality {
        let mut chunks = self.source().chunks(slice);
        let every = chunks.len().div_ceil((moments_max / MOMENTS).max(1)).max(1);
        chunks = chunks.into_iter().step_by(every).collect();
        let (odds, liked) = self.scores_of(model.weights(), &chunks);
        quality(&odds, &liked)
    }

    /// Quality on a slice of the weights so far, averaged over steps as those of the model; sampled as by
    /// [`Training::quality`]. `None` for an empty slice.
    #[must_use]
    pub fn quality_so_far(&self, slice: Slice, moments_max: usize) -> Option<Quality> {
        let mut chunks = self.source().chunks(slice);
        let every = chunks.len().div_ceil((moments_max / MOMENTS).max(1)).max(1);
        chunks = chunks.into_iter().step_by(every).collect();
        let (odds, liked) = self.scores_of(&self.state.mean, &chunks);
        Some(quality(&odds, &liked)).filter(|found| found.rows > 0)
    }

    /// Quality of the like rates on a slice, which a model must beat.
    #[must_use]
    pub fn baselines(&self, slice: Slice) -> Vec<(&'static str, Quality)> {
        baselines(&self.log, &self.topics, slice)
    }

    /// Log-odds of all views of a slice under `weights`, in the order of the log, and their labels.
    #[must_use]
    pub fn scores(&self, weights: &[f32], slice: Slice) -> (Vec<f32>, Vec<bool>) {
        self.scores_of(weights, &self.source().chunks(slice))
    }

    fn scores_of(&self, weights: &[f32], chunks: &[Chunk]) -> (Vec<f32>, Vec<bool>) {
        let parts: Vec<&[Chunk]> = chunks.chunks(64).collect();
        let odds = self.in_threads(&parts, |chunks| {
            let batch = self.source().batch(chunks);
            let network =
                Network::<B::InnerBackend>::new(&self.schema, &self.settings.sizes, weights, &self.device, false);
            let items = network.items(&batch);
            let mut odds = Vec::new();
            append(network.log_odds(&batch, network.people(&batch, items.clone()), items).into_data(), &mut odds);
            let kept = odds.chunks(MOMENTS).zip(chunks).flat_map(|(odds, chunk)| odds[..chunk.len as usize].to_vec());
            kept.collect::<Vec<f32>>()
        });
        let odds: Vec<f32> = odds.into_iter().flatten().collect();
        let moments = chunks.iter().flat_map(|chunk| &self.log.moments[chunk.first as usize..][..chunk.len as usize]);
        (odds, moments.map(|moment| moment.liked).collect())
    }

    fn is_done(&self) -> bool {
        self.state.epoch >= self.settings.epochs || self.state.without_gain >= self.settings.patience
    }

    fn source(&self) -> Source<'_> {
        Source {
            log: &self.log,
            people: &self.people,
            topics: &self.topics,
            dense: &self.dense,
            width: self.schema.item.dense(),
            moments: MOMENTS,
            history: self.settings.sizes.history,
        }
    }

    /// Shuffles the chunks for the current epoch.
    fn order(&mut self) {
        let mut chance = ChaCha8Rng::seed_from_u64(self.settings.seed);
        chance.set_stream(u64::from(self.state.epoch) + 1);
        let mut chunks = self.source().chunks(Slice::Train);
        chunks.shuffle(&mut chance);
        self.chunks = chunks;
    }

    fn end_epoch(&mut self) -> Quality {
        let (odds, liked) = self.scores(&self.state.mean, Slice::Validation);
        let found = quality(&odds, &liked);
        // With one outcome alone the area is undefined; the mean probability of the outcome stands in for it.
        let auc = found.roc_auc.or(found.log_loss.map(|loss| (-loss).exp())).unwrap_or(0.0);
        let state = &mut self.state;
        state.epoch += 1;
        (state.step, state.rows, state.loss_sum) = (0, 0, 0.0);
        let gained = auc > state.best_auc + GAIN_MIN;
        if auc > state.best_auc {
            (state.best_auc, state.best_epoch) = (auc, state.epoch);
            state.best.clone_from(&state.mean);
        }
        if gained {
            state.without_gain = 0;
        } else {
            state.without_gain += 1;
            state.rate *= RATE_AFTER;
        }
        self.order();
        found
    }

    /// Gradient and loss over the shards of a batch, summed in their order.
    fn gradient(&self, chunks: &[Chunk]) -> (Vec<f32>, f64) {
        let shards: Vec<&[Chunk]> = chunks.chunks((self.batch / MOMENTS / SHARDS).max(1)).collect();
        let parts = self.in_threads(&shards, |chunks| {
            let mut batch = self.source().batch(chunks);
            if let Some(shelf) = &self.shelf {
                self.prepare(&mut batch, chunks, shelf);
            }
            gradient::<B>(&self.schema, &self.settings.sizes, &self.state.weights, &batch, self.loss, &self.device)
        });
        let mut parts = parts.into_iter();
        let (mut sum, mut loss) = parts.next().unwrap_or_default();
        for (gradient, part) in parts {
            sum.iter_mut().zip(&gradient).for_each(|(sum, x)| *sum += x);
            loss += part;
        }
        (sum, loss)
    }

    fn prepare(&self, batch: &mut Batch, chunks: &[Chunk], shelf: &Shelf) {
        batch.weights.iter_mut().zip(&batch.labels).for_each(|(weight, label)| *weight *= label);
        self.source().shift(batch, chunks, shelf);
    }

    /// Maps `work` over `parts` in threads; results keep the order of the parts.
    fn in_threads<T: Send>(&self, parts: &[&[Chunk]], work: impl Fn(&[Chunk]) -> T + Sync) -> Vec<T> {
        let threads = self.settings.threads.clamp(1, SHARDS);
        let (work, parts) = (&work, &parts);
        let mut done: Vec<(usize, T)> = thread::scope(|scope| {
            let others: Vec<_> =
                (1..threads).map(|thread| scope.spawn(move || every(parts, thread, threads, work))).collect();
            let mut done = every(parts, 0, threads, work);
            for other in others {
                match other.join() {
                    Ok(part) => done.extend(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done.sort_by_key(|(place, _)| *place);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

fn every<T>(parts: &[&[Chunk]], from: usize, by: usize, work: &impl Fn(&[Chunk]) -> T) -> Vec<(usize, T)> {
    (from..parts.len()).step_by(by).map(|place| (place, work(parts[place]))).collect()
}

fn check_slices(log: &FeedLog, loss: Loss, fractions: Fractions) -> Result<(), TrainError> {
    for (slice, name, share) in
        [(Slice::Train, "training", 1.0), (Slice::Validation, "validation", 1.0), (Slice::Test, "test", fractions.test)]
    {
        let there = || log.moments.iter().filter(|moment| moment.slice == slice);
        let (rows, liked) = (there().count(), there().filter(|moment| moment.liked).count());
        let one_kind = slice == Slice::Train && loss == Loss::Softmax;
        if share > 0.0 && (liked == 0 || (rows == liked && !one_kind)) {
            return Err(TrainError::Slice { slice: name, rows, liked });
        }
    }
    Ok(())
}

/// Hash of everything that decides a training: rows and settings, without threads and the limit on epochs.
fn fingerprint(tables: &Tables, settings: &TrainSettings) -> u64 {
    let mut hash = Xxh3::new();
    let feed = &tables.feed;
    for row in 0..feed.at.len() {
        hash.update(&feed.at[row].0.to_le_bytes());
        hash.update(&feed.person[row].to_le_bytes());
        hash.update(&feed.post[row].to_le_bytes());
        hash.update(&[u8::from(feed.action[row] == Action::Like), u8::from(feed.target[row])]);
    }
    for person in &tables.people {
        hash.update(person.attributes.as_deref().unwrap_or_default().as_bytes());
        hash.update(&[0]);
    }
    for post in &tables.posts {
        hash.update(post.text.as_bytes());
        hash.update(post.topic.as_ref().map_or("", |topic| topic.as_str()).as_bytes());
        for (name, value) in &post.numbers {
            hash.update(name.as_bytes());
            hash.update(&value.to_le_bytes());
        }
        post.embedding.iter().flatten().for_each(|x| hash.update(&x.to_le_bytes()));
        hash.update(&[0]);
    }
    // The default adds nothing, so that states of earlier versions resume.
    if !settings.similarity.is_dot() {
        hash.update(settings.similarity.name().as_bytes());
    }
    let settings = (settings.sizes, settings.batch, settings.rate, settings.seed, settings.loss, settings.fractions);
    hash.update(format!("{settings:?}").as_bytes());
    hash.digest()
}
