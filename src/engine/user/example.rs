//! Training examples: label, features, predictions and sampled negatives of one interaction, from the state before learning.
//!
//! Invariant: nothing here changes the state. Negatives are drawn with a seed from the user and the sequence number, so
//! equal states give equal examples.

use xxhash_rust::xxh3::xxh3_64;

use super::UserState;
use crate::domain::feeds::Ranking;
use crate::domain::ids::ItemId;
use crate::domain::interactions::Interaction;
use crate::domain::items::Item;
use crate::domain::journal::{CoVisited, Learned, Predicted, TrainingExample, WeakNegative};
use crate::domain::time::Millis;
use crate::engine::blend::weights::{StandsFor, choice, sample_size};
use crate::engine::catalogue::centres::Centre;
use crate::engine::catalogue::vectors::{Vectors, centred};
use crate::engine::features::Row;
use crate::engine::learners::person::history::Sign;
use crate::engine::rank;
use crate::engine::world::World;

/// Co-visited items that an entry names, at most.
const COMPANIONS_MAX: usize = 16;

/// Skipped items that serve as negatives of a click, at most; the ones nearest to the click are taken.
const PASSED_MAX: usize = 50;

/// Weak negatives of a visit, at most; the seen items nearest to the visited one are taken.
const WEAK_NEGATIVES_MAX: usize = 16;

impl UserState {
    /// Builds the entry's payload from the state before learning: label and weight, features, predictions and the
    /// training example.
    pub(super) fn observe(
        &self,
        interaction: &Interaction,
        is_choice: bool,
        item: &Item,
        world: &World,
        at: Millis,
    ) -> Learned {
        let settings = world.settings();
        let centre = world.centre_of(item.main_topic());
        let signal = settings.signals.of(interaction.kind, interaction.dwell_ms);
        let profile = self.profile(world, at, Ranking::Model);
        let is_visit = signal.is_some_and(|signal| signal.positive) && !self.is_there(interaction, at);
        let compared = (is_visit && is_choice).then(|| self.sample_negatives(interaction, world, at));
        let (compared, many) = compared.unwrap_or_default();
        let all: Vec<ItemId> = std::iter::once(item.id).chain(compared).collect();
        let rows = rank::rows(world, &profile, &all, at);
        let x = centred(&item.embedding, world.centre(centre).map(Centre::mean));
        let prediction =
            world.example(item.id, &x).map(|example| self.online.predict(&example, world, settings.online()));
        let prediction = prediction.unwrap_or_default();
        let predicted = Predicted {
            online: prediction.log_odds,
            topics: rank::topics_score(&rows[0].features),
            model: world.opinion().log_odds(&rows[0], &self.own_opinion),
            model_version: world.tower().map(|tower| tower.version()),
        };
        Learned {
            item: item.id,
            revision: item.revision,
            kind: interaction.kind,
            dwell_ms: interaction.dwell_ms,
            shown: interaction.shown,
            signal,
            topics: item.topics.to_vec(),
            centre,
            features: rows[0].features.to_vec(),
            predicted,
            liked_at: None,
            example: signal.map(|signal| {
                let author = item.author.as_ref().map(|author| author.id);
                Box::new(TrainingExample {
                    author,
                    group: profile.group,
                    opinion: world.opinion().example(&rows[0], signal.positive, &self.own_opinion),
                    passed: if is_visit { weak_negatives(interaction, world) } else { Vec::new() },
                    ..if is_visit {
                        self.visit(interaction.item, (&rows, many), world, at)
                    } else {
                        TrainingExample::default()
                    }
                })
            }),
        }
    }

    /// Does the interaction continue the visit that the last positive interaction began?
    fn is_there(&self, interaction: &Interaction, at: Millis) -> bool {
        let last = self.history.iter().rev().find(|past| past.sign == Sign::Positive);
        last.is_some_and(|last| last.is_visit_of(interaction.item, interaction.kind, at))
    }

    /// Negative sampling: negatives for a click, with log importance weights. Where the client said which items it showed, these are the
    /// skipped items. Otherwise they are a sample of the available items. A third of the sample comes from the user's
    /// own visited items: they are few among thousands, and the hardest negatives.
    fn sample_negatives(&self, interaction: &Interaction, world: &World, at: Millis) -> (Vec<ItemId>, StandsFor) {
        let all = [0.0; 2];
        if interaction.shown.is_some() {
            let passed = interaction.passed.iter().rev().take(PASSED_MAX).map(|passed| passed.item);
            return (passed.filter(|item| *item != interaction.item && world.item(*item).is_some()).collect(), all);
        }
        let open = world.open_at(at);
        let most = u64::from(world.settings().negatives);
        let others = |item: &ItemId| *item != interaction.item && !self.hidden.contains(item.0);
        if open.len() <= most + 1 {
            return (open.iter().map(ItemId).filter(others).collect(), all);
        }
        let wanted = sample_size(open.len(), most);
        // Seeded by the user and the sequence number: deterministic.
        let mut seed = xxh3_64(&((u64::from(self.user.0) << 32) ^ self.seq.0).to_le_bytes());
        let mut draw = |count: u64, below: u64| {
            let mut drawn: Vec<u32> = (0..count)
                .map(|_| {
                    // Knuth's linear congruential generator; only its high bits are used, since the low ones are poor.
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    ((u128::from(seed) * u128::from(below)) >> 64) as u32
                })
                .collect();
            drawn.sort_unstable();
            drawn.dedup();
            drawn
        };
        let visits = self.visits.recent();
        let own = (wanted / 3).min(visits.len() as u64);
        let from_all = draw(wanted - own, open.len());
        let from_own = draw(own, visits.len() as u64);
        let share = |drawn: &[u32], of: u64| drawn.len() as f32 / of.max(1) as f32;
        let (any, theirs) = (share(&from_all, open.len()), share(&from_own, visits.len() as u64));
        let from_own = from_own.into_iter().map(|rank| visits[rank as usize].item);
        let mut items: Vec<ItemId> = from_own.filter(|item| others(item) && open.contains(item.0)).collect();
        let more = from_all.into_iter().filter_map(|place| open.select(place)).map(ItemId).filter(others);
        for item in more {
            // An item that both draws contain is added once.
            if !items[..(own as usize).min(items.len())].contains(&item) {
                items.push(item);
            }
        }
        // An item of the user's own visits can come from either draw: inclusion probability `a + b - a b`.
        (items, [-any.ln(), -(any + theirs - any * theirs).ln()])
    }

    /// The training example of a visit: the choice against its negatives, and the co-visited items.
    fn visit(&self, item: ItemId, (rows, many): (&[Row], StandsFor), world: &World, at: Millis) -> TrainingExample {
        let choice = match rows.len() {
            0..=1 => TrainingExample::default(),
            _ => choice(rows, 0, many, world.blend(), &self.offset),
        };
        let recent = self.visits.recent();
        let mut counts = [0.0; COMPANIONS_MAX];
        let counts = self.visits.weights(at, &mut counts);
        TrainingExample {
            visits: Some(self.visits.weight_of(item, at)),
            co_visited: recent.iter().zip(counts).map(|(v, count)| CoVisited { item: v.item, count: *count }).collect(),
            elapsed_ms: recent.first().map(|visit| at.since(visit.last)),
            ..choice
        }
    }
}

/// Weak negatives of a visit: items that the client reported as visible above the visited one. A user who scans a list from
/// the top has looked at them. Source: Joachims, *Optimizing Search Engines using Clickthrough Data*, KDD 2002.
fn weak_negatives(interaction: &Interaction, world: &World) -> Vec<WeakNegative> {
    let weight = world.settings().signals.passed_weight;
    if weight <= 0.0 {
        return Vec::new();
    }
    let seen = interaction.passed.iter().rev().filter(|passed| passed.seen && passed.item != interaction.item);
    let known = seen.filter_map(|passed| world.item(passed.item));
    let negative = |item: &Item| WeakNegative {
        item: item.id,
        revision: item.revision,
        centre: world.centre_of(item.main_topic()),
        weight,
    };
    known.take(WEAK_NEGATIVES_MAX).map(negative).collect()
}
