//! A steered ranking agrees with a comparison of all items, one by one.

use crate::every_kind::{ITEMS, any_acts, lived};

use eddyline::domain::feeds::{Expert, Ranking};
use eddyline::domain::ids::{ItemId, Key, TopicId, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::time::Millis;
use eddyline::engine::rank::RankRequest;
use eddyline::engine::rank::steer::{Boost, Steering, Target};
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::user::{UserEvent, UserState};
use eddyline::engine::world::World;
use proptest::prelude::*;

fn any_target() -> impl Strategy<Value = Target> {
    prop_oneof![
        (1_u32..7).prop_map(|topic| Target::Topic(TopicId(topic))),
        (0_u32..42).prop_map(|author| Target::Author(UserId(author))),
        (0..ITEMS + 5).prop_map(|item| Target::Item(ItemId(item))),
        Just(Target::Nothing),
    ]
}

fn any_steering() -> impl Strategy<Value = Steering> {
    let boost = (any_target(), -3.0_f32..3.0).prop_map(|(target, log_odds)| Boost { target, log_odds });
    let time = || prop::option::of((0_i64..i64::from(ITEMS) * 9_000).prop_map(Millis));
    (
        prop::collection::vec(any_target(), 0..2),
        (time(), time()),
        prop::collection::vec((0..ITEMS + 5).prop_map(ItemId), 0..20),
        prop::collection::vec(boost, 0..6),
    )
        .prop_map(|(required, (created_after, created_before), excluded, boosts)| Steering {
            required,
            created_after,
            created_before,
            excluded,
            boosts,
            ..Steering::default()
        })
}

fn has(world: &World, target: &Target, id: ItemId) -> bool {
    let item = world.item(id).unwrap();
    match target {
        Target::Topic(topic) => item.topics.contains(topic),
        Target::Author(author) => item.author.as_ref().is_some_and(|one| one.id == *author),
        Target::Item(wanted) => id == *wanted,
        Target::Attribute(..) | Target::Nothing => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_admitted_item_has_a_higher_boosted_score_than_those_that_are_listed(
        acts in any_acts(),
        steering in any_steering(),
    ) {
        let (state, people, now) = lived(acts, LearnSettings::default());
        let world = state.world();
        for person in &people {
            let mut best: Vec<(f32, Millis, ItemId)> = Vec::new();
            for id in (0..world.len()).map(ItemId) {
                let created = world.item(id).unwrap().created;
                let is_admitted = world.is_open(id, now)
                    && !person.has_hidden(id)
                    && !steering.excluded.contains(&id)
                    && steering.created_after.is_none_or(|first| created >= first)
                    && steering.created_before.is_none_or(|last| created <= last)
                    && steering.required.iter().all(|target| has(world, target, id));
                let score = person.score_of(world, id, now, Ranking::Model).unwrap();
                let boosts = steering.boosts.iter().filter(|boost| has(world, &boost.target, id));
                let boost: f32 = boosts.map(|boost| boost.log_odds).sum();
                if is_admitted {
                    best.push((if steering.boosts.is_empty() { score } else { score + boost }, created, id));
                }
            }
            best.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
            for limit in [1, 30, ITEMS as usize] {
                let ask = RankRequest { ranking: Ranking::Model, limit, explain: true };
                let feed = person.rank_steered(world, now, ask, &steering);
                prop_assert_eq!(feed.len(), limit.min(best.len()));
                for (one, (score, _, item)) in feed.iter().zip(&best) {
                    prop_assert_eq!((one.item, one.score.to_bits()), (*item, score.to_bits()));
                    let shares: f32 = one.why.iter().map(|share| share.amount).sum();
                    let boosts: f32 = steering.boosts_of(world, *item).iter().map(|(_, amount)| amount).sum();
                    prop_assert!((shares + boosts - score).abs() < 1e-3, "parts add up to the score");
                }
            }
            // Other rankings list admitted items, too, and nothing else.
            let ids: std::collections::BTreeSet<ItemId> = best.iter().map(|(.., id)| *id).collect();
            for ranking in [Ranking::Flat, Ranking::Topics, Ranking::Tower] {
                let ask = RankRequest { ranking, limit: 50, explain: false };
                let feed = person.rank_steered(world, now, ask, &steering);
                prop_assert!(feed.iter().all(|one| ids.contains(&one.item)), "{ranking:?}");
            }
        }
    }

    #[test]
    fn a_factor_multiplies_the_share_of_its_expert(
        acts in any_acts(),
        factors in prop::array::uniform4(prop::sample::select(vec![0.0_f32, 0.5, 1.0, 3.0])),
    ) {
        let (state, people, now) = lived(acts, LearnSettings::default());
        let world = state.world();
        let mut steering = Steering::default();
        let steered = [Expert::Topic, Expert::Freshness, Expert::Popularity, Expert::CoVisit];
        for (expert, factor) in steered.into_iter().zip(factors) {
            steering.factors[expert as usize] = factor;
        }
        let ask = RankRequest { ranking: Ranking::Model, limit: ITEMS as usize, explain: true };
        for person in &people {
            let plain = person.rank(world, now, ask);
            let feed = person.rank_steered(world, now, ask, &steering);
            prop_assert_eq!(feed.len(), plain.len());
            prop_assert!(feed.windows(2).all(|two| two[0].score >= two[1].score));
            for one in &feed {
                let before = plain.iter().find(|other| other.item == one.item).unwrap();
                for (share, own) in before.why.iter().zip(&one.why) {
                    let expected = share.amount * steering.factors[share.expert as usize];
                    prop_assert!((own.amount - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{:?}", share.expert);
                }
            }
        }
    }

    /// A session is learned as a person's interactions are, whatever the order in the request.
    #[test]
    fn a_session_is_learned_as_a_persons_interactions_are(
        acts in any_acts(),
        session in prop::collection::vec((0..ITEMS, prop::sample::select(Kind::ALL.to_vec())), 1..20),
    ) {
        let (state, _, now) = lived(acts, LearnSettings::default());
        let world = state.world();
        let interactions: Vec<Interaction> = (0_i64..).zip(session).map(|(n, (item, kind))| Interaction {
            id: Key::new(&format!("event-{n}")).unwrap(),
            item: ItemId(item),
            kind,
            dwell_ms: None,
            at: now.plus(n * 1_000 - 1_000_000),
            shown: None,
            passed: Vec::new(),
        }).collect();
        let mut person = UserState::new(UserId(9_999));
        for one in &interactions {
            person.apply(UserEvent::Interacted(one.clone()), world, now);
        }
        let mut backwards = interactions;
        backwards.reverse();
        let session = UserState::new(UserId(9_999)).with_unstored(backwards, world, now);
        prop_assert_eq!(session.history(), person.history());
        let ask = RankRequest { ranking: Ranking::Model, limit: 30, explain: true };
        prop_assert_eq!(session.rank(world, now, ask), person.rank(world, now, ask));
    }
}
