//! Checks over all experts of the list; a new expert is included without an edit.

#[path = "../../../tests/support/every_kind.rs"]
mod every_kind;
#[path = "../../../tests/support/little_tower.rs"]
mod little_tower;

use std::array;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::feeds::Ranking;
use crate::engine::experts::expertise::{Apart, BlockRows};
use crate::engine::features::{FEATURES, NAMES, Segment, range, shares};
use crate::engine::numeric::kernels::dot;
use crate::engine::rank::{RankRequest, scorer::Scorer};
use crate::engine::settings::{Blend, LearnSettings};
use crate::engine::user::UserState;
use every_kind::{Acts, ITEMS, any_acts, lived};

/// Weights of both segments that differ from feature to feature.
fn weights() -> [Features; 2] {
    let weight = |k: usize| ((k * 37 + 11) % 41) as f32 / 20.5 - 0.987;
    [array::from_fn(weight), array::from_fn(|k| weight(k + FEATURES))]
}

fn bits(row: &Row) -> Vec<u32> {
    row.features.iter().map(|feature| feature.to_bits()).collect()
}

/// Compares the share by block with the share by row, for each expert and item. It also compares the row among all items with
/// the row among a few.
fn experts_agree(person: &UserState, world: &World, now: Millis) -> Result<(), TestCaseError> {
    let profile = person.profile(world, now, Ranking::Model);
    let mut scorer = Scorer::of_many(world, &profile, now);
    scorer.weights = weights();
    let block_weights = scorer.block_weights();
    scorer.experts.prepare(&block_weights);
    for (index, block) in world.blocks().iter().enumerate() {
        let ids: Vec<ItemId> = (0..block.items().len()).map(|row| ItemId((index * BLOCK + row) as u32)).collect();
        let mut described = vec![Row::NOTHING; ids.len()];
        ids.iter().zip(&mut described).for_each(|(id, row)| scorer.describe(*id, row));
        for (few, rows) in ids.chunks(11).zip(described.chunks(11)) {
            let alone = Scorer::of_these(few, world, &profile, now);
            for (id, row) in few.iter().zip(rows) {
                let mut again = Row::NOTHING;
                alone.describe(*id, &mut again);
                prop_assert_eq!((bits(&again), again.segment), (bits(row), row.segment), "item {}", id.0);
            }
        }
        let (mut online, mut ages) = ([0.0; BLOCK], [0.0; BLOCK]);
        for row in 0..ids.len() {
            ages[row] = now.since(block.columns().created[row]) as f32;
            let log_odds = |w| scorer.experts.online.log_odds(dot(w, block.embedding(row)), block.columns(), row);
            online[row] = profile.weights.map_or(0.0, log_odds);
        }
        let (columns, evidence) = (block.columns(), &scorer.evidence);
        let rows = BlockRows { index, block, columns, online: &online, ages: &ages, evidence };
        let mut apart = Apart::beyond(&rows);
        scorer.experts.mark_apart(&rows, &mut apart);
        let mut wrong = Vec::new();
        let mut scores = [0.0; BLOCK];
        scorer.experts.add_block(&rows, &block_weights, &mut scores, |expert, scores| {
            for (row, described) in described.iter().enumerate().filter(|(row, _)| !apart.marks[*row]) {
                let share = 0.0 + shares(&scorer.weights[Segment::New.index()], &described.features)[expert as usize];
                if described.segment != Segment::New || scores[row].to_bits() != share.to_bits() {
                    wrong.push((expert.name(), ids[row], scores[row], share));
                }
            }
            scores.fill(0.0);
        });
        prop_assert!(wrong.is_empty(), "expert, item, share by block, share by row: {:?}", wrong);
    }
    Ok(())
}

/// Compares the scan by one thread with the scan by two.
fn two_threads_agree_with_one(person: &UserState, world: &World, now: Millis) -> Result<(), TestCaseError> {
    let profile = person.profile(world, now, Ranking::Model);
    let scorer = Scorer::of_many(world, &profile, now);
    let all: Vec<u32> = (0..world.len()).collect();
    for ids in [&all[..], &all[..1], &all[..0]] {
        let ((one, error), (two, other)) = (scorer.scan_ids(ids), scorer.scan_halves(ids));
        let bits = |scores: &[(f32, u32)]| scores.iter().map(|(score, id)| (score.to_bits(), *id)).collect::<Vec<_>>();
        prop_assert_eq!((bits(&one), error.to_bits()), (bits(&two), other.to_bits()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// For every expert of the list, row form, block form and a few items give equal bits; so do scans by one and two threads.
    #[test]
    fn every_expert_gives_one_share_by_row_by_block_and_among_a_few(
        acts in any_acts(),
        without in prop::option::of(prop::sample::select(Expert::ALL.to_vec())),
    ) {
        let settings = LearnSettings { without: without.into_iter().collect(), ..LearnSettings::default() };
        let (state, mut people, now) = lived(acts, settings);
        let world = state.world();
        let with_a_tower = world.with_tower(Some(Arc::new(world.tower_by(Arc::new(little_tower::Little::new(1))))));
        for person in &mut people {
            experts_agree(person, world, now)?;
            person.look(&with_a_tower, now);
            experts_agree(person, &with_a_tower, now)?;
            two_threads_agree_with_one(person, &with_a_tower, now)?;
        }
    }
}

/// One file and one line in the list bring the toy expert into the explanations of a feed.
#[test]
fn a_new_expert_is_seen_in_why() {
    let mut settings = LearnSettings::default();
    settings.blend.toy = 0.5;
    let (state, people, now) = lived(Acts { follows: Vec::new(), interactions: Vec::new() }, settings);
    let request = RankRequest { ranking: Ranking::Model, limit: ITEMS as usize, explain: true };
    let feed = people[0].rank(state.world(), now, request);
    assert!(feed.len() > 100);
    for one in &feed {
        let experts: Vec<Expert> = one.why.iter().map(|line| line.expert).collect();
        assert_eq!(experts, Expert::ALL, "a line for every expert of the list");
        let toy = one.why.iter().find(|line| line.expert == Expert::Toy).map(|line| line.amount);
        assert_eq!(toy, Some(0.5 * (one.item.0 % 2) as f32), "item {}", one.item.0);
        assert_eq!(one.why.iter().fold(0.0_f32, |sum, line| sum + line.amount).to_bits(), one.score.to_bits());
    }
}

/// Alone, an expert ranks by its features; the blend starts with the amount of the settings.
#[test]
fn the_first_weights_are_those_of_the_settings() {
    let mut settings = LearnSettings::default();
    settings.blend.freshness = 7.0;
    let (first, alone) = (settings.blend.features(), Blend::alone());
    for expert in Expert::ALL {
        let (begin, end) = range(expert);
        assert!(alone[begin..end].iter().any(|weight| *weight != 0.0), "{} says nothing alone", expert.name());
        assert!(first[begin..end].iter().all(|weight| weight.is_finite()), "{}", expert.name());
    }
    let place = |name: &str| NAMES.iter().position(|(known, _)| *known == name).unwrap_or(FEATURES);
    for (name, weight) in [
        ("online", 1.0),
        ("topic", 1.5),
        ("topic_approval", 0.75),
        ("freshness", 7.0),
        ("followed", 0.5),
        ("friends", 0.25),
        ("popularity_1d", 0.3),
        ("approval", 0.3),
        ("own_approval", 1.0),
        ("visits_7d", 0.0),
        ("tower", 0.5),
        ("toy", 0.0),
    ] {
        assert_eq!(first[place(name)], weight, "{name}");
    }
}
