//! The blend as people meet it: strangers, newcomers, changes of taste, and worlds in which nothing can be learned.
//!
//! Invariant under test: what is served is never worse than decayed popularity by more than the bound of the Hedge, and a
//! blend that loses is not served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::sync::Arc;

use eddyline::domain::feeds::Expert;
use eddyline::domain::ids::{ItemId, Key, ModelVersion, Position, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::Embedding;
use eddyline::domain::time::{HOUR_MS, MINUTE_MS, Millis};
use eddyline::domain::windows::{Window, Windows};
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, ItemWrite};
use eddyline::engine::learn::blend::LOSS_MAX;
use eddyline::engine::learn::hedge::{HedgeFigures, bound, hesitation};
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::tower::{ItemFacts, Step, TOWER_DIM, TowerVector, TwoTower};
use eddyline::engine::user::{Effect, UserEvent, UserState};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ITEMS: u32 = 40;

/// A small network of live channels, driven by hand.
struct Town {
    coordinator: CoordinatorState,
    people: Vec<UserState>,
    now: Millis,
    position: u64,
}

impl Town {
    fn new(people: u32) -> Town {
        Town::with(people, LearnSettings::default())
    }

    fn with(people: u32, settings: LearnSettings) -> Town {
        let mut coordinator = CoordinatorState::new(1, Arc::new(settings));
        let drafts = (0..ITEMS).map(|id| {
            let windows = Windows::new(vec![Window { start: Millis(0), stop: None }]).unwrap();
            let draft = Draft {
                key: Key::of_number(id),
                author: None,
                topics: None,
                text: Some(id.to_string().into()),
                embedding: Some(Embedding::new(vec![1.0], 1).unwrap()),
                created: Some(Millis(0)),
                windows: Some(windows),
            };
            (draft, ItemWrite::Create)
        });
        coordinator.apply(CoordinatorEvent::Items(drafts.collect()), Millis(0));
        let people = (0..people).map(|id| UserState::new(UserId(id))).collect();
        Town { coordinator, people, now: Millis(HOUR_MS), position: 0 }
    }

    fn goes(&mut self, user: usize, item: u32) {
        self.now = self.now.plus(MINUTE_MS);
        self.position += 1;
        let id = Key::new(&format!("e{}", self.position)).unwrap();
        let (item, at) = (ItemId(item), self.now);
        let event = Interaction { id, item, kind: Kind::Watch, dwell_ms: None, at, shown: None, passed: Vec::new() };
        let effects = self.people[user].apply(UserEvent::Interacted(event), self.coordinator.world(), at);
        for effect in effects {
            if let Effect::Journal(entry) = effect {
                self.coordinator.fold(Position(self.position), &entry);
            }
        }
        self.coordinator.apply(CoordinatorEvent::Tick, at);
    }

    fn hedge(&self) -> HedgeFigures {
        self.coordinator.hedge()
    }

    fn best(&self, person: &UserState) -> u32 {
        let items: Vec<ItemId> = (0..ITEMS).map(ItemId).collect();
        let mut scores = Vec::new();
        person.score_items(self.coordinator.world(), &items, self.now, &mut scores);
        (0..ITEMS).max_by(|a, b| scores[*a as usize].total_cmp(&scores[*b as usize])).unwrap()
    }
}

/// What a two-tower model of the test says of a person who is at home on this channel, and of a channel, at an instant:
/// log-odds.
type Says = fn(home: u32, item: u32, now: i64) -> f32;

/// A model that says what it is told to say. An item's vector names it; a person's holds the log-odds of all items.
#[derive(Debug)]
struct Puppet(Says);

impl TwoTower for Puppet {
    fn version(&self) -> ModelVersion {
        ModelVersion(1)
    }
    fn history(&self) -> usize {
        0
    }
    fn item(&self, item: &ItemFacts<'_>) -> TowerVector {
        let mut vector = [0.0; TOWER_DIM];
        vector[item.text.parse::<usize>().unwrap()] = 1.0;
        vector
    }
    fn person(&self, attributes: Option<&str>, _: &[Step<'_>], now: Millis) -> TowerVector {
        let home = attributes.unwrap().parse().unwrap();
        std::array::from_fn(|item| (self.0)(home, item as u32, now.0))
    }
    fn log_odds(&self, dot: f32) -> f32 {
        dot
    }
}

fn lost(figures: &HedgeFigures, expert: Expert) -> f64 {
    figures.experts.iter().find(|(one, _)| *one == expert).unwrap().1
}

/// Zipf's law over the channels, shifted by `by`.
fn popular(random: &mut ChaCha8Rng, by: u32) -> u32 {
    let total: f64 = (1..=ITEMS).map(|rank| 1.0 / f64::from(rank)).sum();
    let mut left = random.random::<f64>() * total;
    for rank in 1..=ITEMS {
        left -= 1.0 / f64::from(rank);
        if left <= 0.0 {
            return (rank - 1 + by) % ITEMS;
        }
    }
    ITEMS - 1
}

/// In every world what is served stays within the bound of decayed popularity, and of the best single expert.
#[test]
fn never_worse_than_popularity_by_more_than_the_bound() {
    type Chooses = fn(&mut ChaCha8Rng, u32, usize) -> u32;
    let worlds: [(&str, Chooses); 4] = [
        ("nothing but popularity", |random, _, _| popular(random, 0)),
        ("chance", |random, _, _| random.random_range(0..ITEMS)),
        ("popularity turns round every 400 visits", |random, n, _| popular(random, (n / 400) * 17)),
        ("everybody has a home", |random, _, user| {
            if random.random::<f64>() < 0.8 { (user as u32 * 7) % ITEMS } else { popular(random, 0) }
        }),
    ];
    for (name, chooses) in worlds {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut town = Town::new(50);
        for n in 0..2_400 {
            let user = random.random_range(0..50);
            let item = chooses(&mut random, n, user);
            town.goes(user, item);
        }
        let figures = town.hedge();
        let popularity = lost(&figures, Expert::Popularity);
        let slack = bound(figures.rounds);
        assert!(figures.mixture <= popularity + slack, "{name}: {figures:?}");
        // One change of leader to get away from a blend that loses, and one back.
        let served = popularity + slack + 2.0 * hesitation();
        assert!(figures.served <= served, "{name}: served {}, at most {served}", figures.served);
    }
}

/// Whatever a two-tower model says, what is served loses no more than it would without one by more than the bound of the
/// Hedge; one that is right gains.
#[test]
fn a_tower_never_costs_more_than_the_bound() {
    const PEOPLE: u32 = 50;
    fn home(user: u32) -> u32 {
        (user * 7) % ITEMS
    }
    fn noise(home: u32, item: u32, now: i64) -> f32 {
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(home * ITEMS + item) ^ now as u64);
        random.random_range(-8.0..8.0)
    }
    fn right(home: u32, item: u32, _: i64) -> f32 {
        if home == item { 3.0 } else { 0.0 }
    }
    let models: [(&str, Says); 5] = [
        ("noise", noise),
        ("right", right),
        ("wrong", |home, item, now| -right(home, item, now)),
        ("as wrong as can be", |home, item, _| if home == item { -100.0 } else { 100.0 }),
        ("right for half the time, then wrong", |home, item, now| {
            if now < 21 * HOUR_MS { right(home, item, now) } else { -right(home, item, now) }
        }),
    ];
    let served = |says: Option<Says>| {
        let mut random = ChaCha8Rng::seed_from_u64(17);
        let mut town = Town::new(PEOPLE);
        for (user, person) in (0..).zip(&mut town.people) {
            person.set_attributes(Some(home(user).to_string().into()));
        }
        if let Some(says) = says {
            town.coordinator.put_tower(Arc::new(Puppet(says)));
        }
        for _ in 0..2_400 {
            let user = random.random_range(0..PEOPLE);
            // What is popular changes over night, so that habits are not all there is.
            let item = if random.random::<f64>() < 0.6 { home(user) } else { popular(&mut random, 3) };
            town.goes(user as usize, item);
        }
        town.hedge()
    };
    let without = served(None);
    for (name, says) in models {
        let with = served(Some(says));
        // One change of leader to get away from a model that costs, and one back; the round that decides is lost as well.
        let slack = bound(with.rounds) + 2.0 * (hesitation() + f64::from(LOSS_MAX));
        println!("{name}: with {:.1} without {:.1} slack {slack:.1}", with.served, without.served);
        assert!(with.served <= without.served + slack, "{name}: {with:?} without {without:?}");
        if name == "right" {
            assert!(with.served < without.served - slack, "{name}: {with:?} without {without:?}");
        }
    }
}

/// Where habits are everything, the blend finds them, and gains on every single expert.
#[test]
fn habits_are_found() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut town = Town::new(30);
    for _ in 0..1_500 {
        let user = random.random_range(0..30_usize);
        let item = if random.random::<f64>() < 0.9 { (user as u32 * 7) % ITEMS } else { popular(&mut random, 0) };
        town.goes(user, item);
    }
    assert!(town.hedge().regret < 0.0, "{:?}", town.hedge());
    let at_home = (0..30).filter(|user| town.best(&town.people[*user]) == (*user as u32 * 7) % ITEMS).count();
    assert!(at_home >= 28, "{at_home} of 30");
}

/// Somebody of whom nothing is known gets what is popular; a channel that nobody knows yet is not on top.
#[test]
fn strangers_get_what_is_popular() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut town = Town::new(20);
    for _ in 0..800 {
        let user = random.random_range(0..20);
        let item = popular(&mut random, 0) / 2;
        town.goes(user, item);
    }
    let stranger = UserState::new(UserId(999));
    assert!(town.best(&stranger) <= 2, "{}", town.best(&stranger));
}

/// Who goes where I go also goes there: a channel that this person never saw comes up by those who share the others.
#[test]
fn companions_lead_to_new_places() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut town = Town::new(60);
    // Two circles with channels of their own: even and odd ones.
    for _ in 0..3_000 {
        let user = random.random_range(0..60_usize);
        let item = random.random_range(0..10) * 2 + (user as u32 % 2);
        town.goes(user, item);
    }
    // Somebody new goes to three of the even ones.
    town.people.push(UserState::new(UserId(60)));
    for item in [0, 2, 4] {
        town.goes(60, item);
    }
    let items: Vec<ItemId> = (0..20).map(ItemId).collect();
    let mut scores = Vec::new();
    town.people[60].score_items(town.coordinator.world(), &items, town.now, &mut scores);
    let unseen = |odd: u32| (0..10).map(move |k| k * 2 + odd).filter(|item| ![0, 2, 4].contains(item));
    let mean = |odd: u32| unseen(odd).map(|item| scores[item as usize]).sum::<f32>() / unseen(odd).count() as f32;
    assert!(mean(0) > mean(1) + 0.5, "theirs {} others {}", mean(0), mean(1));
}
