//! Checks that every learner passes; the list at the end names them all.
//!
//! Invariant under test: predicting changes nothing; learning is deterministic; a snapshot predicts, and learns on, with equal bits;
//! inputs that are not finite, or extreme, are refused or leave every prediction finite.
//! Deliberately absent: the mixture (`engine::mixture`) and the two-tower model, which learn in batches.

mod measures;

use measures::Measured;

use std::fmt::Debug;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::ids::{ItemId, TopicId, UserId};
use crate::domain::interactions::Signal;
use crate::domain::journal::{CentreRef, CoVisited, Opinion, TrainingExample};
use crate::domain::time::{DAY_MS, Millis};
use crate::engine::blend::hedge::Hedge;
use crate::engine::blend::opinions::OpinionLearner;
use crate::engine::blend::weights::{BlendLearner, BlendWeights, GRADIENT, LOSS_MAX, LOSSES};
use crate::engine::catalogue::vectors::Vectors;
use crate::engine::features::{FEATURES, Features, Row, Segment};
use crate::engine::learners::clock::Clock;
use crate::engine::learners::person::offset::UserOffset;
use crate::engine::learners::person::online::{Example, OnlineModel};
use crate::engine::learners::person::topics::TopicWeights;
use crate::engine::learners::person::visits::{VISIT_FEATURES, Visits};
use crate::engine::learners::shared::arrivals::{Visitors, VisitorsTable};
use crate::engine::learners::shared::cluster_popularity::ClusterPopularity;
use crate::engine::learners::shared::drift::{ALL_USERS, PageHinkley};
use crate::engine::learners::shared::item_neighbours::{CoOccurrence, Group, ItemNeighbours};
use crate::engine::learners::shared::last_seen::LastSeen;
use crate::engine::learners::shared::newton::Newton;
use crate::engine::learners::shared::popularity::{Opinions, Popularity, PopularityTable, Run};
use crate::engine::learners::shared::sparse::SparseRow;
use crate::engine::metrics::measured::{
    Declarations, Measurement, Named, PersonMetrics, PopulationMetrics, millionths,
};
use crate::engine::metrics::normal::{Moments, NormalModel, Posterior, Prior};
use crate::engine::metrics::progressive::{Progress, RecentAuc, ScoreHistogram};
use crate::engine::settings::LearnSettings;

/// Items that occur.
const ITEMS: u32 = 40;

/// The instant of all predictions.
const NOW: Millis = Millis(400 * DAY_MS);

/// One event, from which each learner takes what it learns from.
#[derive(Clone, Copy, Debug)]
struct Event {
    item: u32,
    user: u32,
    at: Millis,
    positive: bool,
    /// Any number; extreme or not finite where the check asks for it.
    value: f32,
}

/// The interface by which the checks drive a learner.
trait Learner: Clone + Debug + Serialize + DeserializeOwned {
    /// The learner before the first event.
    fn first() -> Self;

    /// Learns one event.
    fn learn(&mut self, event: Event);

    /// All that the learner can predict at [`NOW`].
    fn predictions(&self) -> Vec<f64>;
}

/// Bits of all predictions, for comparison.
fn bits<L: Learner>(learner: &L) -> Vec<u64> {
    learner.predictions().iter().map(|number| number.to_bits()).collect()
}

fn bytes<L: Learner>(learner: &L) -> Vec<u8> {
    postcard::to_stdvec(learner).unwrap_or_default()
}

fn restored<L: Learner>(learner: &L) -> Result<L, TestCaseError> {
    postcard::from_bytes(&bytes(learner)).map_err(|error| TestCaseError::fail(error.to_string()))
}

fn is_deterministic<L: Learner>(events: &[Event]) -> Result<(), TestCaseError> {
    let (mut asked, mut silent) = (L::first(), L::first());
    for event in events {
        let (before, predictions) = (bytes(&asked), bits(&asked));
        prop_assert_eq!(bits(&asked), predictions, "two predictions in a row differ");
        prop_assert_eq!(bytes(&asked), before, "predicting changes nothing");
        asked.learn(*event);
        silent.learn(*event);
    }
    prop_assert_eq!(bytes(&asked), bytes(&silent), "learning is deterministic");
    prop_assert_eq!(bits(&asked), bits(&silent));
    Ok(())
}

fn survives_a_snapshot<L: Learner>(events: &[Event], cut: usize) -> Result<(), TestCaseError> {
    let mut learner = L::first();
    let (before, after) = events.split_at(cut.min(events.len()));
    before.iter().for_each(|event| learner.learn(*event));
    let mut again = restored(&learner)?;
    prop_assert_eq!(bits(&again), bits(&learner), "a snapshot predicts alike");
    for event in after {
        learner.learn(*event);
        again.learn(*event);
    }
    prop_assert_eq!(bits(&again), bits(&learner), "a snapshot learns on alike");
    Ok(())
}

fn stays_finite<L: Learner>(events: &[Event]) -> Result<(), TestCaseError> {
    let mut learner = L::first();
    for event in events {
        learner.learn(*event);
        for prediction in learner.predictions() {
            prop_assert!(prediction.is_finite(), "{} after {:?}", prediction, event);
        }
    }
    prop_assert_eq!(bits(&restored(&learner)?), bits(&learner));
    Ok(())
}

fn any_event(value: impl Strategy<Value = f32>) -> impl Strategy<Value = Event> {
    let at = prop_oneof![9 => 0..400 * DAY_MS, 1 => Just(0)].prop_map(Millis);
    (0..ITEMS, 0..9_u32, at, any::<bool>(), value).prop_map(|(item, user, at, positive, value)| Event {
        item,
        user,
        at,
        positive,
        value,
    })
}

fn usual() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(any_event(-3.0_f32..3.0), 1..60)
}

fn wild() -> impl Strategy<Value = Vec<Event>> {
    let extremes = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 0.0, -0.0, 1.0];
    prop::collection::vec(any_event(prop::sample::select(extremes.to_vec())), 1..40)
}

/// Without centres: embeddings stand for themselves.
struct Nowhere;

impl Vectors for Nowhere {
    fn embedding(&self, _: ItemId, _: u32) -> Option<&[f32]> {
        None
    }
    fn centre(&self, _: CentreRef) -> Option<&crate::engine::catalogue::centres::Centre> {
        None
    }
}

/// A unit vector for an item, as a catalogue gives it.
fn embedding(item: u32) -> [f32; 4] {
    let raw: [f32; 4] = std::array::from_fn(|k| ((item * 7 + k as u32 * 5) % 11) as f32 - 4.9);
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
    raw.map(|x| x / length)
}

/// A feature vector with a few entries, one of them the event's value.
fn row(event: Event) -> Row {
    let mut features: Features = [0.0; FEATURES];
    features[event.item as usize % FEATURES] = event.value;
    features[(event.item as usize + 3) % FEATURES] = 0.5;
    Row { features, segment: if event.user.is_multiple_of(2) { Segment::New } else { Segment::Seen } }
}

/// A training example whose gradient and losses have the event's value among them.
fn training_example(event: Event) -> TrainingExample {
    let mut gradient = vec![0.0; GRADIENT];
    gradient[event.item as usize % GRADIENT] = event.value;
    gradient[(event.item as usize + 7) % GRADIENT] = 0.25;
    let losses = (0..LOSSES).map(|k| if k == event.item as usize % LOSSES { event.value } else { 0.7 }).collect();
    TrainingExample { gradient, losses, ..TrainingExample::default() }
}

fn signal(event: Event) -> Signal {
    Signal { positive: event.positive, weight: 1.0 }
}

fn numbers(values: &[f32]) -> impl Iterator<Item = f64> + '_ {
    values.iter().copied().map(f64::from)
}

impl Learner for OnlineModel {
    fn first() -> Self {
        OnlineModel::default()
    }
    fn learn(&mut self, event: Event) {
        let x = embedding(event.item);
        let example = Example::new(&x, CentreRef::NONE, None);
        OnlineModel::learn(self, &example, event.positive, 1.0, event.at, &Nowhere, LearnSettings::default().online());
    }
    fn predictions(&self) -> Vec<f64> {
        let predict = |item| {
            let x = embedding(item);
            let said =
                self.predict(&Example::new(&x, CentreRef::NONE, None), &Nowhere, LearnSettings::default().online());
            [f64::from(said.log_odds), f64::from(said.variance)]
        };
        (0..ITEMS).flat_map(predict).collect()
    }
}

impl Learner for TopicWeights {
    fn first() -> Self {
        TopicWeights::default()
    }
    fn learn(&mut self, event: Event) {
        TopicWeights::learn(
            self,
            &[TopicId(event.item), TopicId(event.user)],
            event.at,
            LearnSettings::default().topic_decay(),
        );
    }
    fn predictions(&self) -> Vec<f64> {
        (0..ITEMS).map(|topic| self.at(TopicId(topic), NOW, LearnSettings::default().topic_decay())).collect()
    }
}

impl Learner for Visits {
    fn first() -> Self {
        Visits::default()
    }
    fn learn(&mut self, event: Event) {
        Visits::learn(self, ItemId(event.item), event.at);
    }
    fn predictions(&self) -> Vec<f64> {
        let describe = |rank| {
            let mut out = [0.0; VISIT_FEATURES];
            self.describe(rank, NOW, None, &Clock::at(NOW), &mut out);
            out.map(f64::from)
        };
        (0..self.recent().len()).flat_map(describe).chain([f64::from(self.novelty())]).collect()
    }
}

impl Learner for Visitors {
    fn first() -> Self {
        Visitors::default()
    }
    fn learn(&mut self, event: Event) {
        Visitors::learn(self, ItemId(event.item), event.positive, event.at);
    }
    fn predictions(&self) -> Vec<f64> {
        let mut table = VisitorsTable::default();
        self.clone().refresh(&mut table, &(0..ITEMS).collect::<Vec<u32>>(), NOW);
        let phases = Clock::at(NOW).phases();
        let of = |item| {
            let (hour, weekday) = table.busy(ItemId(item), &phases);
            [table.newcomers(ItemId(item)), hour, weekday].map(f64::from)
        };
        (0..ITEMS).flat_map(of).collect()
    }
}

impl Learner for Opinions {
    fn first() -> Self {
        Opinions::default()
    }
    fn learn(&mut self, event: Event) {
        Opinions::learn(self, signal(event), event.at);
    }
    fn predictions(&self) -> Vec<f64> {
        vec![f64::from(self.log_odds(NOW, 0.3, 5.0)), self.rate()]
    }
}

/// The published table of counts over [`ITEMS`] items without windows.
fn published(popularity: &Popularity) -> PopularityTable {
    let mut table = PopularityTable::default();
    let (created, windowed) = (&[Millis(0); ITEMS as usize], &[false; ITEMS as usize]);
    let open = Run { first: ItemId(0), created, windowed, items: &[] };
    popularity.clone().refresh(&mut table, std::iter::once(open), NOW);
    table
}

impl Learner for Popularity {
    fn first() -> Self {
        Popularity::default()
    }
    fn learn(&mut self, event: Event) {
        Popularity::learn(self, ItemId(event.item), TopicId(event.user), signal(event), event.at);
        self.visited(ItemId(event.item), event.positive, event.at);
    }
    fn predictions(&self) -> Vec<f64> {
        let table = published(self);
        let of = |item| table.row(ItemId(item)).map(f64::from);
        (0..ITEMS).flat_map(of).chain([table.approval()]).collect()
    }
}

impl Learner for ClusterPopularity {
    fn first() -> Self {
        ClusterPopularity::default()
    }
    fn learn(&mut self, event: Event) {
        ClusterPopularity::learn(self, event.user, ItemId(event.item), 1.0, event.at);
    }
    fn predictions(&self) -> Vec<f64> {
        let overall = published(&Popularity::default());
        let table = self.table(0..9, &overall, (ITEMS, u64::from(ITEMS)), |_| true, NOW);
        let of = |group| {
            let lifts = table.of(group).cloned().unwrap_or_default();
            (0..ITEMS).map(move |item| f64::from(lifts.popularity(ItemId(item), 0.0)))
        };
        (0..9).flat_map(of).collect()
    }
}

impl Learner for CoOccurrence {
    fn first() -> Self {
        CoOccurrence::default()
    }
    fn learn(&mut self, event: Event) {
        let other = |by: u32| CoVisited { item: ItemId((event.item + by) % ITEMS), count: event.user as f32 };
        let others = [other(1), other(event.user + 2)];
        let came = event.positive.then_some((others[0].item, i64::from(event.user) * 1_000));
        CoOccurrence::learn(self, ItemId(event.item), event.user as f32, &others, came, event.at);
    }
    fn predictions(&self) -> Vec<f64> {
        let (mut sums, mut table) = (self.clone(), ItemNeighbours::default());
        sums.publish_all();
        sums.refresh(&mut table, usize::MAX);
        let of = |item| {
            let lists = table.similar(ItemId(item)).iter().chain(table.next(ItemId(item)));
            let pairs = lists.flat_map(Group::iter).map(|(other, strength)| [f64::from(other.0), f64::from(strength)]);
            pairs.flatten().collect::<Vec<f64>>()
        };
        (0..ITEMS).flat_map(of).collect()
    }
}

impl Learner for SparseRow {
    fn first() -> Self {
        SparseRow::default()
    }
    fn learn(&mut self, event: Event) {
        self.add(event.item, event.user as f32);
    }
    fn predictions(&self) -> Vec<f64> {
        let mut all = Vec::new();
        self.map_into(&mut all, |item, sum| (item, sum));
        all.sort_by_key(|(item, _)| *item);
        all.into_iter().flat_map(|(item, sum)| [f64::from(item), f64::from(sum)]).collect()
    }
}

impl Learner for LastSeen {
    fn first() -> Self {
        LastSeen::default()
    }
    fn learn(&mut self, event: Event) {
        LastSeen::learn(self, UserId(event.user), ItemId(event.item), event.at);
    }
    fn predictions(&self) -> Vec<f64> {
        let of = |user| self.of(UserId(user), NOW).map(|(item, amount)| [f64::from(item.0), f64::from(amount)]);
        (0..9).filter_map(of).flatten().collect()
    }
}

impl Learner for BlendLearner {
    fn first() -> Self {
        BlendLearner::default()
    }
    fn learn(&mut self, event: Event) {
        BlendLearner::learn(self, &training_example(event), 1.0, 2.0);
    }
    fn predictions(&self) -> Vec<f64> {
        let start = BlendWeights::start(&LearnSettings::default().blend);
        let served = self.weights(&start.weights, None);
        numbers(served.weights.as_flattened()).collect()
    }
}

impl Learner for UserOffset {
    fn first() -> Self {
        UserOffset::default()
    }
    fn learn(&mut self, event: Event) {
        // A person's own entries come from the server: their examples are computed from finite features.
        let value = if event.value.is_finite() { event.value.clamp(-1e6, 1e6) } else { 0.0 };
        let event = Event { value, ..event };
        self.learn_choice::<FEATURES>(&training_example(event), 1.0);
        let opinion = Opinion { error: 0.5, ..Opinion::default() };
        self.learn_opinion::<FEATURES>(&opinion, &row(event).features, 1.0);
    }
    fn predictions(&self) -> Vec<f64> {
        let start = BlendWeights::start(&LearnSettings::default().blend);
        let served = start.served(Segment::New, self);
        numbers(&served).chain([f64::from(self.bias())]).collect()
    }
}

impl Learner for OpinionLearner {
    fn first() -> Self {
        OpinionLearner::default()
    }
    fn learn(&mut self, event: Event) {
        let error = if event.positive { -0.4 } else { 0.6 };
        let opinion = Opinion { error, seen: event.user > 4, calibration: [event.value, error], loss: 0.5 };
        OpinionLearner::learn(self, &opinion, &row(event).features, 1.0, 2.0);
    }
    fn predictions(&self) -> Vec<f64> {
        let weights = self.weights(&LearnSettings::default().blend, false);
        let plain = |item| row(Event { item, user: item, at: NOW, positive: true, value: 0.5 });
        (0..ITEMS).map(|item| f64::from(weights.probability(&plain(item), &UserOffset::default()))).collect()
    }
}

/// The moves of Newton's steps, summed, as a blend applies them.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Steps {
    newton: Newton,
    sums: [f32; 8],
}

impl Learner for Steps {
    fn first() -> Self {
        Steps { newton: Newton::default(), sums: [0.0; 8] }
    }
    fn learn(&mut self, event: Event) {
        // Its callers refuse gradients that are not finite.
        let value = if event.value.is_finite() { event.value.clamp(-1e6, 1e6) } else { 0.0 };
        let mut gradient = [0.0; 8];
        gradient[event.item as usize % 8] = value;
        gradient[event.user as usize % 8] = 0.3;
        let moves = self.newton.learn(&gradient, 1.0);
        self.sums.iter_mut().zip(moves).for_each(|(sum, by)| *sum = (*sum - by).clamp(-20.0, 20.0));
    }
    fn predictions(&self) -> Vec<f64> {
        numbers(&self.sums).collect()
    }
}

impl Learner for Hedge {
    fn first() -> Self {
        Hedge::default()
    }
    fn learn(&mut self, event: Event) {
        // Losses are kept within bounds by whoever computes them; those that are not finite are refused here.
        let mut losses = training_example(event).losses;
        losses.iter_mut().for_each(|loss| *loss = loss.clamp(0.0, LOSS_MAX));
        if event.value.is_infinite() {
            losses[0] = event.value;
        }
        Hedge::learn(self, &losses, 1.0);
    }
    fn predictions(&self) -> Vec<f64> {
        let figures = self.figures();
        let others = [figures.blend, figures.mixture, figures.served, figures.regret, figures.rounds as f64];
        figures.experts.iter().map(|(_, loss)| *loss).chain(others).collect()
    }
}

impl Learner for PageHinkley {
    fn first() -> Self {
        PageHinkley::default()
    }
    fn learn(&mut self, event: Event) {
        PageHinkley::learn(self, event.value.clamp(-LOSS_MAX, LOSS_MAX), ALL_USERS);
    }
    fn predictions(&self) -> Vec<f64> {
        let mut next = *self;
        vec![f64::from(self.alarms()), f64::from(u8::from(next.learn(1.0, ALL_USERS)))]
    }
}

macro_rules! learners {
    ($($name:ident: $Learner:ty,)*) => {
        $(mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

                #[test]
                fn predicts_without_change_and_learns_deterministically(events in usual()) {
                    is_deterministic::<$Learner>(&events)?;
                }

                #[test]
                fn survives_a_snapshot(events in usual(), cut in 0_usize..60) {
                    super::survives_a_snapshot::<$Learner>(&events, cut)?;
                }

                #[test]
                fn stays_finite(events in wild()) {
                    super::stays_finite::<$Learner>(&events)?;
                }
            }
        })*
    };
}

learners! {
    online: OnlineModel,
    topics: TopicWeights,
    repeat: Visits,
    visitors: Visitors,
    opinions: Opinions,
    popularity: Popularity,
    cluster_popularity: ClusterPopularity,
    co_occurrence: CoOccurrence,
    sparse: SparseRow,
    last_seen: LastSeen,
    blend: BlendLearner,
    user_offset: UserOffset,
    opinion: OpinionLearner,
    newton: Steps,
    hedge: Hedge,
    page_hinkley: PageHinkley,
    recent_auc: RecentAuc,
    score_histogram: ScoreHistogram,
    progress: Progress,
    moments: Moments,
    normal: NormalModel,
    metrics: Measured,
}
