//! Features and scores of single items for one person.
//!
//! Invariant: an item, a person, a world and an instant determine the row. Computing it alone, among a few items or for the
//! whole catalogue gives equal bits. Deliberately absent: choosing and ordering (`rank`), and scores of whole blocks (`scan`).

use crate::domain::feeds::Expert;
use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::catalogue::block::{BLOCK, Block};
use crate::engine::evidence::item_evidence::ItemEvidence;
use crate::engine::evidence::user_profile::UserProfile;
use crate::engine::experts::Experts;
use crate::engine::experts::expertise::{Context, ItemRow};
use crate::engine::features::{Features, Row, Segment, Shares, range, shares};
use crate::engine::learners::clock::Clock;
use crate::engine::numeric::kernels::dot;
use crate::engine::world::World;

/// Sums shares in the order of `Expert::ALL`.
pub fn sum(shares: Shares) -> f32 {
    shares.into_iter().fold(0.0, |a, b| a + b)
}

/// Scores items for one person at one instant.
pub(crate) struct Scorer<'a> {
    pub(super) world: &'a World,
    pub(super) profile: &'a UserProfile<'a>,
    pub(super) now: Millis,
    pub(super) evidence: ItemEvidence,
    pub(super) experts: Experts<'a>,
    /// Served weights by [`Segment::index`].
    pub(super) weights: [Features; 2],
}

impl<'a> Scorer<'a> {
    /// A scorer for these items only. Their rows are bit-equal to those of [`Scorer::of_many`].
    pub fn of_these(items: &[ItemId], world: &'a World, profile: &'a UserProfile<'a>, now: Millis) -> Self {
        Scorer::with(ItemEvidence::of_these(items, world.store(), profile, now), world, profile, now)
    }

    /// A scorer for the whole catalogue. It computes in advance whatever depends on the topic or the person alone.
    pub(crate) fn of_many(world: &'a World, profile: &'a UserProfile<'a>, now: Millis) -> Self {
        let mut scorer = Scorer::with(ItemEvidence::gather(world.store(), profile, now), world, profile, now);
        scorer.experts.prepare(&scorer.block_weights());
        scorer
    }

    /// A scorer for the whole catalogue whose weights are multiplied by one factor per expert, in the order of
    /// `Expert::ALL`.
    pub(crate) fn with_factors(
        world: &'a World,
        profile: &'a UserProfile<'a>,
        now: Millis,
        factors: &[f32; Expert::ALL.len()],
    ) -> Self {
        let mut scorer = Scorer::with(ItemEvidence::gather(world.store(), profile, now), world, profile, now);
        for (expert, factor) in Expert::ALL.into_iter().zip(factors) {
            let (begin, end) = range(expert);
            for weights in &mut scorer.weights {
                weights[begin..end].iter_mut().for_each(|weight| *weight *= factor);
            }
        }
        scorer.experts.prepare(&scorer.block_weights());
        scorer
    }

    fn with(evidence: ItemEvidence, world: &'a World, profile: &'a UserProfile<'a>, now: Millis) -> Self {
        let served = |segment| world.blend().served(segment, profile.offset);
        Scorer {
            world,
            profile,
            now,
            evidence,
            experts: Experts::of(Context { store: world.store(), profile, now, clock: Clock::at(now) }),
            weights: [served(Segment::New), served(Segment::Seen)],
        }
    }

    /// The weights of items that are new to the person, without those of experts that the settings leave out.
    pub(super) fn block_weights(&self) -> Features {
        let mut weights = self.weights[Segment::New.index()];
        self.silence(&mut weights);
        weights
    }

    /// Sets the ranges of the experts to 0 that the settings leave out.
    fn silence(&self, features: &mut Features) {
        for expert in &self.world.settings().without {
            let (begin, end) = range(*expert);
            features[begin..end].fill(0.0);
        }
    }

    /// Writes the features of an item into `out`, which holds zeros. An unknown item leaves it unchanged.
    pub fn describe(&self, id: ItemId, out: &mut Row) {
        let (index, row) = (id.0 as usize / BLOCK, id.0 as usize % BLOCK);
        let Some(block) = self.world.blocks().get(index).filter(|block| row < block.items().len()) else {
            return;
        };
        let online = |w| self.experts.online.log_odds(dot(w, block.embedding(row)), block.columns(), row);
        out.segment = self.describe_row(id, block, self.profile.weights.map_or(0.0, online), &mut out.features);
    }

    /// Writes the features of an item of `block`, given the log-odds of the online model.
    pub(super) fn describe_row(&self, id: ItemId, block: &Block, online: f32, out: &mut Features) -> Segment {
        let (columns, row) = (block.columns(), id.0 as usize % BLOCK);
        let item = if columns.windowed[row] { block.items().get(row) } else { None };
        let window = item.and_then(|item| item.windows.at(self.now));
        let (slot, evidence) = (self.evidence.of(id), &self.evidence);
        let item = ItemRow { id, block, columns, row, online, window, slot, evidence };
        self.experts.row(&item, out);
        self.silence(out);
        if item.visit().is_some() { Segment::Seen } else { Segment::New }
    }

    /// The share of each expert in an item's score.
    pub fn shares(&self, item: ItemId) -> Shares {
        let mut row = Row::NOTHING;
        self.describe(item, &mut row);
        shares(&self.weights[row.segment.index()], &row.features)
    }

    /// The score of an item.
    pub fn score(&self, item: ItemId) -> f32 {
        sum(self.shares(item))
    }
}
