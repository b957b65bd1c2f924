//! A live user state equals the fold of its journal.
//!
//! Invariant under test: the journal rebuilds the state in memory, bit by bit. This holds for any events in any order,
//! with duplicates, resends, a changing catalogue and passivation in between.

use crate::little_tower;

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline::domain::feeds::Ranking;
use eddyline::domain::ids::{FeedVersion, ItemId, Key, Seq, TopicId, UserId};
use eddyline::domain::interactions::{Interaction, Kind, Passed, Shown};
use eddyline::domain::items::Embedding;
use eddyline::domain::journal::{CentreRef, Entry, Measured, What};
use eddyline::domain::time::Millis;
use eddyline::domain::windows::{Window, Windows};
use eddyline::engine::catalogue::centres::Centre;
use eddyline::engine::catalogue::vectors::Vectors;
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, ItemWrite};
use eddyline::engine::features::at;
use eddyline::engine::rank::RankRequest;
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::settings::rank::RankSettings;
use eddyline::engine::two_tower::TwoTower;
use eddyline::engine::user::{Effect, UserEvent, UserState};
use eddyline::engine::world::World;
use little_tower::Little;
use proptest::prelude::*;

const DIM: usize = 8;

/// A step of a script.
#[derive(Clone, Debug)]
enum Step {
    Interact {
        id: u8,
        item: u8,
        kind: Kind,
        dwell: Option<u32>,
        wait: i64,
    },
    Follow {
        id: u8,
        user: u8,
    },
    Unfollow {
        id: u8,
        user: u8,
    },
    SetTopics {
        id: u8,
        topic: u8,
        weight: f32,
    },
    Measure {
        id: u8,
        kind: u8,
        millionths: i64,
    },
    Revise {
        item: u8,
        seed: u8,
    },
    Import {
        count: u8,
    },
    Passivate,
    /// Another two-tower model is published.
    Swap {
        version: u8,
    },
    /// The user's attributes change.
    Describe {
        age: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    prop_oneof![
        // Some pauses are short, so that a like follows on a click.
        8 => (any::<u8>(), prop_oneof![0u8..3, 0u8..40], kind, prop::option::of(0u32..600_000), prop_oneof![0i64..600_000, 0i64..200_000_000])
            .prop_map(|(id, item, kind, dwell, wait)| Step::Interact { id, item, kind, dwell, wait }),
        1 => (any::<u8>(), 0u8..5).prop_map(|(id, user)| Step::Follow { id, user }),
        1 => (any::<u8>(), 0u8..5).prop_map(|(id, user)| Step::Unfollow { id, user }),
        1 => (any::<u8>(), 1u8..4, 0.0f32..=1.0).prop_map(|(id, topic, weight)| Step::SetTopics { id, topic, weight }),
        2 => (any::<u8>(), 0u8..3, 0i64..=86_400_000_000).prop_map(|(id, kind, millionths)| Step::Measure { id, kind, millionths }),
        1 => (0u8..40, any::<u8>()).prop_map(|(item, seed)| Step::Revise { item, seed }),
        1 => (1u8..30).prop_map(|count| Step::Import { count }),
        1 => Just(Step::Passivate),
        1 => (1u8..4).prop_map(|version| Step::Swap { version }),
        1 => any::<u8>().prop_map(|age| Step::Describe { age }),
    ]
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn embedding(seed: u64) -> Embedding {
    let numbers = (0..DIM as u64).map(|n| ((seed * 31 + n * 17) % 29) as f32 / 7.0 - 2.0 + 0.01).collect();
    Embedding::new(numbers, DIM).unwrap()
}

fn draft(number: u32, seed: u64) -> Draft {
    Draft {
        attributes: None,
        key: key(&format!("item-{number}")),
        author: None,
        topics: Some(vec![key(["sea", "sky", "land"][number as usize % 3])]),
        text: Some(format!("text {number} {seed}").into()),
        embedding: Some(embedding(seed)),
        created: Some(Millis(0)),
        windows: None,
    }
}

/// All revisions of items and epochs of centres, as a store would keep them.
#[derive(Default)]
struct Kept {
    embeddings: BTreeMap<(ItemId, u32), Embedding>,
    centres: BTreeMap<CentreRef, Centre>,
}

impl Vectors for Kept {
    fn embedding(&self, item: ItemId, revision: u32) -> Option<&[f32]> {
        self.embeddings.get(&(item, revision)).map(|x| &x[..])
    }
    fn centre(&self, centre: CentreRef) -> Option<&Centre> {
        self.centres.get(&centre)
    }
}

impl Kept {
    fn take(&mut self, effects: Vec<eddyline::engine::coordinator::Effect>) {
        use eddyline::engine::coordinator::Effect;
        for effect in effects {
            match effect {
                Effect::KeepItem(item) => {
                    self.embeddings.insert((item.id, item.revision), item.embedding.clone());
                }
                Effect::KeepCentre(centre, vector) => {
                    self.centres.insert(centre, Centre::of(&vector, DIM).unwrap());
                }
                _ => {}
            }
        }
    }
}

fn drafts(count: u32, first: u32) -> CoordinatorEvent {
    let range = first..first + count;
    CoordinatorEvent::Items(range.map(|n| (draft(n, u64::from(n)), ItemWrite::Create)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// replay(journal) == live state, over random scripts with duplicates, resends, revisions and passivation.
    #[test]
    fn the_journal_rebuilds_the_state(script in prop::collection::vec(step(), 0..120)) {
        let settings = Arc::new(LearnSettings::default());
        let mut coordinator = CoordinatorState::new(DIM, settings.clone());
        let mut kept = Kept::default();
        let mut now = Millis(1_000_000);
        kept.take(coordinator.apply(drafts(40, 0), now));
        let mut made = 40;
        let mut live = UserState::new(UserId(7));
        let mut journal: Vec<Entry> = Vec::new();
        let mut attributes: Option<Arc<str>> = None;
        for step in script {
            let named = |id: u8| key(&format!("event-{id}"));
            let event = match step {
                Step::Interact { id, item, kind, dwell, wait } => {
                    now = now.plus(wait);
                    let at = now.plus(-i64::from(id) * 1_000);
                    // Every third event comes from a shown feed, whose items above it were seen in turn.
                    let shown = (id % 3 == 0).then_some(Shown { version: FeedVersion(1), position: 2, propensity: 1.0 });
                    let above = |n: u8| Passed { item: ItemId(u32::from(item.wrapping_add(n) % 40)), seen: n % 2 == 1 };
                    let passed = shown.iter().flat_map(|_| (1..4).map(above)).collect();
                    let interaction =
                        Interaction { id: named(id), item: ItemId(item.into()), kind, dwell_ms: dwell, at, shown, passed };
                    UserEvent::Interacted(interaction)
                }
                Step::Follow { id, user } => UserEvent::Followed { id: named(id), user: UserId(user.into()), at: now },
                Step::Unfollow { id, user } => UserEvent::Unfollowed { id: named(id), user: UserId(user.into()), at: now },
                Step::SetTopics { id, topic, weight } => {
                    UserEvent::TopicsSet { id: named(id), weights: vec![(TopicId(topic.into()), weight)], at: now }
                }
                Step::Measure { id, kind, millionths } => {
                    // An undeclared type teaches, too: declarations decide only which measurements are accepted.
                    let kind = Some(key(["post", "channel", "cellar"][usize::from(kind)]));
                    let measured = Measured { metric: key("time_spent"), kind, millionths, replaces: millionths % 7 == 0 };
                    UserEvent::Measured { id: named(id), measured, at: now }
                }
                Step::Revise { item, seed } => {
                    let revised = draft(item.into(), 1_000 + u64::from(seed));
                    kept.take(coordinator.apply(CoordinatorEvent::Items(vec![(revised, ItemWrite::Replace)]), now));
                    continue;
                }
                Step::Import { count } => {
                    kept.take(coordinator.apply(drafts(count.into(), made), now));
                    made += u32::from(count);
                    continue;
                }
                Step::Passivate => {
                    let bytes = live.to_bytes(&settings);
                    let woken = UserState::from_bytes(&bytes, &settings).unwrap();
                    prop_assert_eq!(&woken, &live, "passivation changes nothing");
                    live = woken;
                    live.set_attributes(attributes.clone());
                    continue;
                }
                Step::Swap { version } => {
                    let model: Arc<dyn TwoTower> = Arc::new(Little::new(version.into()));
                    let of = Arc::new(coordinator.world().clone());
                    let tower = Box::new(of.tower_by(model));
                    kept.take(coordinator.apply(CoordinatorEvent::Tower(tower, of), now));
                    continue;
                }
                Step::Describe { age } => {
                    attributes = Some(format!("{{\"age\":{age}}}").into());
                    live.set_attributes(attributes.clone());
                    continue;
                }
            };
            let known = journal.iter().find(|entry| entry.id == *event.id()).map(|entry| entry.seq);
            for effect in live.apply(event, coordinator.world(), now) {
                match effect {
                    Effect::Journal(entry) => {
                        prop_assert_eq!(known, None, "learned at most once");
                        prop_assert_eq!(entry.seq, Seq(journal.len() as u64 + 1), "consecutive");
                        if let What::Interacted(learned) = &entry.what {
                            let published = coordinator.world().tower().map(|tower| tower.version());
                            prop_assert_eq!(learned.predicted.model_version, published, "the entry names the model that predicted");
                            prop_assert_eq!(learned.features[at::TOWER] != 0.0, published.is_some());
                        }
                        journal.push(entry);
                    }
                    Effect::Known(_, seq) => prop_assert_eq!(Some(seq), known, "the same answer"),
                    Effect::Rank(_) => {}
                    Effect::UnknownItem(..) => prop_assert!(false, "all items are known"),
                }
            }
        }
        let replayed = UserState::replay(UserId(7), &journal, &kept, &settings).unwrap();
        prop_assert_eq!(&replayed, &live);
        prop_assert_eq!(replayed.to_bytes(&settings), live.to_bytes(&settings), "to the byte");
        // From any snapshot on, too.
        let half = journal.len() / 2;
        let mut resumed = UserState::replay(UserId(7), &journal[..half], &kept, &settings).unwrap();
        resumed = UserState::from_bytes(&resumed.to_bytes(&settings), &settings).unwrap();
        for entry in &journal[half..] {
            resumed.fold(entry, &kept, &settings).unwrap();
        }
        prop_assert_eq!(&resumed, &live);
    }

    /// A feed contains only available items that are not hidden, none twice, best first, newer first among equals. Its
    /// explanations add up; a shorter feed is a prefix of a longer one.
    #[test]
    fn a_feed_keeps_its_promises(
        script in prop::collection::vec((0u32..60, prop::sample::select(Kind::ALL.to_vec())), 0..40),
        windows in prop::collection::vec((0u32..60, 0i64..2_000, 1i64..2_000), 0..30),
        follows in prop::collection::vec(0u32..4, 0..3),
        at in 0i64..4_000,
        limit in 0usize..80,
    ) {
        // This test checks the order by score; `tests/engine/list_stage.rs` checks the rules that change it.
        let rank = RankSettings { author_run: 0, ..RankSettings::default() };
        let settings = Arc::new(LearnSettings { rank, ..LearnSettings::default() });
        let mut coordinator = CoordinatorState::new(DIM, settings);
        let now = Millis(10_000);
        let authored = (0..60).map(|n| {
            let author = eddyline::domain::items::Author { id: UserId(n % 5), key: key(&format!("author-{}", n % 5)) };
            let created = Some(Millis(i64::from(n) * 50));
            (Draft { author: (n % 6 != 0).then_some(author), created, ..draft(n, u64::from(n)) }, ItemWrite::Create)
        });
        coordinator.apply(CoordinatorEvent::Items(authored.collect()), now);
        for (item, start, length) in windows {
            let window = Window { start: Millis(start), stop: Some(Millis(start + length)) };
            coordinator.apply(CoordinatorEvent::Windows(vec![(ItemId(item), Windows::new(vec![window]).unwrap())]), now);
        }
        let world: &World = coordinator.world();
        let mut person = UserState::new(UserId(4));
        for (n, user) in follows.into_iter().enumerate() {
            person.apply(UserEvent::Followed { id: key(&format!("follow-{n}")), user: UserId(user), at: now }, world, now);
        }
        let mut hidden = Vec::new();
        for (n, (item, kind)) in script.into_iter().enumerate() {
            let id = key(&format!("act-{n}"));
            let interaction = Interaction { id, item: ItemId(item), kind, dwell_ms: None, at: now, shown: None, passed: Vec::new() };
            person.apply(UserEvent::Interacted(interaction), world, now);
            hidden.retain(|hidden| *hidden != ItemId(item) || kind == Kind::View || kind == Kind::Skip);
            if kind.removes() {
                hidden.push(ItemId(item));
            }
        }
        let at = Millis(at);
        let with_a_model = world.with_tower(Some(Arc::new(world.tower_by(Arc::new(Little::new(1))))));
        for (ranking, world) in Ranking::ALL.into_iter().flat_map(|ranking| [(ranking, world), (ranking, &with_a_model)]) {
            let feed = person.rank(world, at, RankRequest { ranking, limit, explain: true });
            prop_assert!(feed.len() <= limit);
            for one in &feed {
                prop_assert!(world.is_open(one.item, at), "{ranking:?} shows what is not available");
                prop_assert!(!hidden.contains(&one.item), "{ranking:?} shows what is hidden");
                let sum: f32 = one.why.iter().map(|line| line.amount).fold(0.0, |a, b| a + b);
                prop_assert!((sum - one.score).abs() <= 1e-5 * (1.0 + one.score.abs()), "{} {}", sum, one.score);
            }
            for pair in feed.windows(2) {
                prop_assert!(pair[0].item != pair[1].item);
                // Higher ids are newer here, and newer comes first among equals.
                let ordered = pair[0].score > pair[1].score || (pair[0].score == pair[1].score && pair[0].item > pair[1].item);
                prop_assert!(ordered || ranking == Ranking::Flat, "{ranking:?} {pair:?}");
            }
            let mut items: Vec<ItemId> = feed.iter().map(|one| one.item).collect();
            items.sort_unstable();
            items.dedup();
            prop_assert_eq!(items.len(), feed.len(), "nothing twice");
            if ranking.asks_the_tower() {
                let longer = person.rank(world, at, RankRequest { ranking, limit: limit + 7, explain: true });
                prop_assert_eq!(&longer[..feed.len().min(longer.len())], &feed[..]);
                let all = person.rank(world, at, RankRequest { ranking, limit: 1_000, explain: false });
                let open = (0..60).map(ItemId).filter(|id| world.is_open(*id, at) && !hidden.contains(id)).count();
                prop_assert_eq!(all.len(), open, "nothing is lost");
            }
        }
    }
}

/// Feeds are equal with and without a cached user vector, for users in any order. The `tower` ranking is the order of
/// the model's log-odds, and each version's feed is the one that it makes alone.
#[test]
fn a_feed_is_of_one_model() {
    let mut coordinator = CoordinatorState::new(DIM, Arc::new(LearnSettings::default()));
    let now = Millis(1_000_000);
    coordinator.apply(drafts(300, 0), now);
    let bare = coordinator.world().clone();
    let worlds: Vec<World> =
        [1, 2].map(|version| bare.with_tower(Some(Arc::new(bare.tower_by(Arc::new(Little::new(version))))))).into();
    let mut person = UserState::new(UserId(0));
    for n in 0..40_u32 {
        let kind = [Kind::Like, Kind::View, Kind::Skip][n as usize % 3];
        let (id, item, at) = (key(&format!("act-{n}")), ItemId(n * 7 % 300), now.plus(i64::from(n) * 1_000));
        let interaction = Interaction { id, item, kind, dwell_ms: None, at, shown: None, passed: Vec::new() };
        person.apply(UserEvent::Interacted(interaction), &worlds[n as usize % 2], at);
    }
    let now = now.plus(60_000);
    let ask = RankRequest { ranking: Ranking::Tower, limit: 20, explain: true };
    let feeds: Vec<_> = worlds.iter().map(|world| person.clone().rank(world, now, ask)).collect();
    assert_ne!(feeds[0], feeds[1]);
    for round in 0..4 {
        let (world, feed) = (&worlds[round % 2], &feeds[round % 2]);
        // In every second round, a cached vector of the other version exists.
        assert_eq!(person.rank(world, now, ask), *feed);
        person.look(world, now);
        assert_eq!(person.rank(world, now, ask), *feed);
        let (tower, vector) = (world.tower().unwrap(), person.tower_vector(world, now).unwrap());
        let mut all: Vec<(ItemId, f32)> = (0..300).map(ItemId).map(|id| (id, tower.log_odds(&vector, id))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let expected: Vec<(ItemId, f32)> = all.into_iter().take(20).collect();
        assert_eq!(feed.iter().map(|one| (one.item, one.score)).collect::<Vec<_>>(), expected);
    }
    // Without a model all scores are 0, and the newest come first.
    assert!(person.rank(&bare, now, ask).iter().all(|one| one.score == 0.0));
}

/// After a model swap, all item vectors are those of the new model. This includes items that were added or revised
/// while the vectors were computed elsewhere, and items that come later.
#[test]
fn a_swap_misses_no_item() {
    let mut coordinator = CoordinatorState::new(DIM, Arc::new(LearnSettings::default()));
    let now = Millis(1_000_000);
    coordinator.apply(drafts(300, 0), now);
    for version in [1, 2] {
        let of = Arc::new(coordinator.world().clone());
        let tower = Box::new(of.tower_by(Arc::new(Little::new(version))));
        let first = 300 + 20 * (version as u32 - 1);
        coordinator.apply(drafts(10, first), now);
        coordinator.apply(CoordinatorEvent::Items(vec![(draft(7, 900 + version), ItemWrite::Replace)]), now);
        let before = coordinator.world().epoch();
        coordinator.apply(CoordinatorEvent::Tower(tower, of), now);
        assert!(coordinator.world().epoch() > before, "feeds of before the swap do not stand");
        coordinator.apply(drafts(10, first + 10), now);
        coordinator.apply(CoordinatorEvent::Items(vec![(draft(8, 900 + version), ItemWrite::Replace)]), now);
        let world = coordinator.world();
        let (tower, afresh) = (world.tower().unwrap(), world.tower_by(Arc::new(Little::new(version))));
        assert_eq!(tower.version().0, version);
        for id in (0..world.len()).map(ItemId) {
            assert_eq!(tower.item(id), afresh.item(id), "item {} under version {version}", id.0);
        }
    }
}

/// The scan of 8-bit codes is exact: the best items of a big catalogue are those of a full sort in f32.
#[test]
fn the_scan_finds_the_same_best_as_a_full_sort() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let dim = 96;
    let mut coordinator = CoordinatorState::new(dim, Arc::new(LearnSettings::default()));
    let now = Millis(1_000_000);
    let theme: Vec<f32> = (0..dim).map(|_| random.random_range(-1.0..1.0)).collect();
    let drafts = (0..3_000).map(|n| {
        // Half of them near each other, so that scores are close; of very different lengths.
        let (near, length) = (if n % 2 == 0 { 1.0 } else { 0.0 }, 10.0_f32.powi(n % 7 - 3));
        let numbers = theme.iter().map(|t| length * (near * t + random.random_range(-0.3..0.3))).collect();
        let embedding = Some(Embedding::new(numbers, dim).unwrap());
        (Draft { embedding, ..draft(n as u32, 0) }, ItemWrite::Create)
    });
    coordinator.apply(CoordinatorEvent::Items(drafts.collect()), now);
    let world = coordinator.world();
    let mut person = UserState::new(UserId(0));
    for n in 0..300_u32 {
        let kind = if n % 2 == 0 { Kind::Like } else { Kind::Skip };
        let id = key(&format!("act-{n}"));
        let interaction = Interaction {
            id,
            item: ItemId(n * 7 % 3_000),
            kind,
            dwell_ms: None,
            at: now,
            shown: None,
            passed: Vec::new(),
        };
        person.apply(UserEvent::Interacted(interaction), world, now);
        if n % 20 == 0 {
            let ask = |limit| RankRequest { ranking: Ranking::Model, limit, explain: false };
            let all = person.rank(world, now, ask(3_000));
            for limit in [1, 10, 30, 100] {
                assert_eq!(person.rank(world, now, ask(limit)), all[..limit], "after {n}, best {limit}");
            }
        }
    }
}

/// Items that the user saw above a visited one and left lower the online model's prediction for them, by their weight. Items
/// that were not seen, and a weight of 0, leave no trace in the journal.
#[test]
fn what_a_user_saw_and_left_is_a_weak_no() {
    let learned = |weight: f32, seen: bool| {
        let mut settings = LearnSettings::default();
        settings.signals.passed_weight = weight;
        let settings = Arc::new(settings);
        let mut coordinator = CoordinatorState::new(DIM, settings.clone());
        let now = Millis(1_000_000);
        let mut kept = Kept::default();
        kept.take(coordinator.apply(drafts(40, 0), now));
        let mut live = UserState::new(UserId(7));
        let interaction = Interaction {
            id: key("visit"),
            item: ItemId(3),
            kind: Kind::Like,
            dwell_ms: None,
            at: now,
            shown: Some(Shown { version: FeedVersion(1), position: 2, propensity: 1.0 }),
            passed: vec![Passed { item: ItemId(8), seen }, Passed { item: ItemId(9), seen: false }],
        };
        let effects = live.apply(UserEvent::Interacted(interaction), coordinator.world(), now);
        let Effect::Journal(entry) = &effects[0] else { panic!("{effects:?}") };
        let What::Interacted(learned) = &entry.what else { panic!("{entry:?}") };
        let passed: Vec<ItemId> = learned.example.as_ref().unwrap().passed.iter().map(|one| one.item).collect();
        let replayed = UserState::replay(UserId(7), [entry], &kept, &settings).unwrap();
        assert_eq!(replayed, live, "the entry alone rebuilds the state");
        (passed, live.predict(coordinator.world(), ItemId(8)).unwrap().log_odds)
    };
    let (none, without) = learned(0.0, true);
    assert_eq!((none, learned(0.5, false)), (Vec::new(), (Vec::new(), without)));
    let (passed, weak) = learned(0.02, true);
    let (_, strong) = learned(1.0, true);
    assert_eq!(passed, [ItemId(8)]);
    assert!(strong < weak && weak < without, "{strong} {weak} {without}");
}
