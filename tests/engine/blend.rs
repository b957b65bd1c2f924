//! The blend end to end: unknown users, new items, drift, and worlds in which nothing can be learned.
//!
//! Invariant under test: the served ranking is never worse than decayed popularity by more than the bound of the Hedge,
//! and a losing blend is not served.

use std::sync::Arc;

use eddyline::domain::feeds::Expert;
use eddyline::domain::ids::{ItemId, Key, ModelVersion, Position, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::Embedding;
use eddyline::domain::journal::{Learned, What};
use eddyline::domain::time::{HOUR_MS, MINUTE_MS, Millis};
use eddyline::domain::windows::{Window, Windows};
use eddyline::engine::blend::hedge::{HedgeFigures, bound, hesitation};
use eddyline::engine::blend::weights::LOSS_MAX;
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, ItemWrite};
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::two_tower::{ItemFacts, Sign, Step, TOWER_DIM, TowerVector, TwoTower};
use eddyline::engine::user::{Effect, UserEvent, UserState};
use eddyline::fold::Offline;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ITEMS: u32 = 40;

/// A small network of live channels with simulated events.
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
        let windows = Windows::new(vec![Window { start: Millis(0), stop: None }]).unwrap();
        let draft = |id: u32| Draft {
            attributes: None,
            key: Key::of_number(id),
            author: None,
            topics: None,
            text: Some(id.to_string().into()),
            embedding: Some(Embedding::new(vec![1.0], 1).unwrap()),
            created: Some(Millis(0)),
            windows: Some(windows.clone()),
        };
        Town::of(people, settings, 1, draft)
    }

    /// Posts of two topics that are always available, each with a text of its own.
    fn of_posts(people: u32, settings: LearnSettings) -> Town {
        let draft = |id: u32| Draft {
            attributes: None,
            key: Key::of_number(id),
            author: None,
            topics: Some(vec![Key::new(["sea", "sky"][id as usize % 2]).unwrap()]),
            text: Some(id.to_string().into()),
            embedding: Some(Embedding::new((0..4).map(|n| ((id * 7 + n * 5) % 11) as f32 - 4.9).collect(), 4).unwrap()),
            created: Some(Millis(0)),
            windows: None,
        };
        Town::of(people, settings, 4, draft)
    }

    fn of(people: u32, settings: LearnSettings, dim: usize, draft: impl Fn(u32) -> Draft) -> Town {
        let mut coordinator = CoordinatorState::new(dim, Arc::new(settings));
        let drafts = (0..ITEMS).map(|id| (draft(id), ItemWrite::Create));
        coordinator.apply(CoordinatorEvent::Items(drafts.collect()), Millis(0));
        coordinator.apply(CoordinatorEvent::Recentre, Millis(0));
        let people = (0..people).map(|id| UserState::new(UserId(id))).collect();
        Town { coordinator, people, now: Millis(HOUR_MS), position: 0 }
    }

    fn goes(&mut self, user: usize, item: u32) {
        self.does(user, item, Kind::Watch, MINUTE_MS);
    }

    /// A user acts on an item, `after` milliseconds after the last event. Returns the journalled payload.
    fn does(&mut self, user: usize, item: u32, kind: Kind, after: i64) -> Learned {
        self.acts(user, item, kind, None, after)
    }

    fn acts(&mut self, user: usize, item: u32, kind: Kind, dwell_ms: Option<u32>, after: i64) -> Learned {
        self.now = self.now.plus(after);
        self.position += 1;
        let id = Key::new(&format!("e{}", self.position)).unwrap();
        let (item, at) = (ItemId(item), self.now);
        let event = Interaction { id, item, kind, dwell_ms, at, shown: None, passed: Vec::new() };
        let effects = self.people[user].apply(UserEvent::Interacted(event), self.coordinator.world(), at);
        let entry = effects.into_iter().find_map(|effect| match effect {
            Effect::Journal(entry) => Some(entry),
            _ => None,
        });
        let entry = entry.unwrap();
        self.coordinator.fold(Position(self.position), &entry);
        self.coordinator.apply(CoordinatorEvent::Tick, at);
        match entry.what {
            What::Interacted(learned) => learned,
            other => panic!("{other:?}"),
        }
    }

    fn hedge(&self) -> HedgeFigures {
        self.coordinator.hedge()
    }

    fn scores(&self, person: &UserState) -> Vec<f32> {
        let items: Vec<ItemId> = (0..ITEMS).map(ItemId).collect();
        let mut scores = Vec::new();
        person.score_items(self.coordinator.world(), &items, self.now, &mut scores);
        scores
    }

    /// Number of items ranked above this one for this user.
    fn place(&self, user: usize, item: u32) -> usize {
        let scores = self.scores(&self.people[user]);
        scores.iter().filter(|score| **score > scores[item as usize]).count()
    }

    fn best(&self, person: &UserState) -> u32 {
        let scores = self.scores(person);
        (0..ITEMS).max_by(|a, b| scores[*a as usize].total_cmp(&scores[*b as usize])).unwrap()
    }
}

/// Log-odds that a test model returns for a user at home on a channel, and for a channel, at an instant.
type Says = fn(home: u32, item: u32, now: i64) -> f32;

/// A model with prescribed log-odds. An item's vector names it; a user's vector holds the log-odds of all items.
#[derive(Debug)]
struct Puppet(Says);

impl TwoTower for Puppet {
    fn version(&self) -> ModelVersion {
        ModelVersion(1)
    }
    fn history(&self) -> usize {
        0
    }
    fn lacking(&self, _: &ItemFacts<'_>) -> Vec<String> {
        Vec::new()
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

/// In every world the served ranking stays within the bound of decayed popularity, and of the best single expert.
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
        // One change of leader away from a losing blend, and one back.
        let served = popularity + slack + 2.0 * hesitation();
        assert!(figures.served <= served, "{name}: served {}, at most {served}", figures.served);
    }
}

/// For any two-tower model, the served loss exceeds the loss without it by at most the bound of the Hedge; a good model
/// lowers the loss.
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
            town.coordinator.set_tower(Arc::new(Puppet(says)));
        }
        for _ in 0..2_400 {
            let user = random.random_range(0..PEOPLE);
            // Popularity changes over night, so that habits do not explain everything.
            let item = if random.random::<f64>() < 0.6 { home(user) } else { popular(&mut random, 3) };
            town.goes(user as usize, item);
        }
        town.hedge()
    };
    let without = served(None);
    for (name, says) in models {
        let with = served(Some(says));
        // One change of leader away from a bad model, and one back; the deciding round is lost as well.
        let slack = bound(with.rounds) + 2.0 * (hesitation() + f64::from(LOSS_MAX));
        println!("{name}: with {:.1} without {:.1} slack {slack:.1}", with.served, without.served);
        assert!(with.served <= without.served + slack, "{name}: {with:?} without {without:?}");
        if name == "right" {
            assert!(with.served < without.served - slack, "{name}: {with:?} without {without:?}");
        }
    }
}

/// Where only habits matter, the blend learns them, and beats every single expert.
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

/// A cold-start user gets popular channels; a new channel without visitors is not on top.
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

/// Co-occurrence recommends unvisited channels: a channel that this user never visited rises through users with shared
/// channels.
#[test]
fn companions_lead_to_new_places() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut town = Town::new(60);
    // Two communities with channels of their own: even and odd ones.
    for _ in 0..3_000 {
        let user = random.random_range(0..60_usize);
        let item = random.random_range(0..10) * 2 + (user as u32 % 2);
        town.goes(user, item);
    }
    // A new user visits three of the even ones.
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

/// Visits are learned from every positive kind: each is a choice, and the Hedge receives the ranking's loss.
#[test]
fn every_positive_kind_teaches_the_ranking() {
    let kinds = [Kind::Click, Kind::Like, Kind::Share, Kind::Reply, Kind::Accept, Kind::Watch, Kind::Read];
    for kind in kinds {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut town = Town::new(30);
        for _ in 0..1_200 {
            let user = random.random_range(0..30_usize);
            let item = if random.random::<f64>() < 0.9 { (user as u32 * 7) % ITEMS } else { popular(&mut random, 0) };
            town.does(user, item, kind, MINUTE_MS);
        }
        let figures = town.hedge();
        assert_eq!(figures.rounds, 1_200, "{}", kind.name());
        assert!(figures.regret < 0.0, "{}: {figures:?}", kind.name());
        let at_home = (0..30).filter(|user| town.best(&town.people[*user]) == (*user as u32 * 7) % ITEMS).count();
        assert!(at_home >= 28, "{}: {at_home} of 30", kind.name());
    }
}

/// A click and the like of the opened item are one visit, so they leave equal visit statistics.
#[test]
fn a_like_of_what_was_just_opened_is_no_second_visit() {
    let run = |likes: bool, after: i64| {
        let mut town = Town::new(8);
        let mut last = None;
        for n in 0..200 {
            let (user, item) = (n % 8, (n * 3 + n / 8) as u32 % ITEMS);
            town.does(user, item, Kind::Click, 40 * MINUTE_MS - after);
            if likes {
                let liked = town.does(user, item, Kind::Like, after);
                last = liked.example.map(|example| (example.visits.is_some(), example.gradient.is_empty()));
            } else {
                town.now = town.now.plus(after);
            }
        }
        let learned = town.does(0, 1, Kind::Click, 60 * MINUTE_MS);
        let example = learned.example.unwrap();
        (example.visits, example.co_visited, example.elapsed_ms, town.hedge().rounds, last)
    };
    let (clicked, liked) = (run(false, MINUTE_MS), run(true, MINUTE_MS));
    assert_eq!(liked.4, Some((false, true)), "neither a visit nor a choice");
    assert_eq!((clicked.0, &clicked.1, clicked.3), (liked.0, &liked.1, liked.3));
    let apart = run(true, 35 * MINUTE_MS);
    assert_eq!(apart.4, Some((true, false)), "later it is a visit of its own");
    assert!(apart.3 > clicked.3 && apart.1 != liked.1, "{apart:?}");
}

/// In a feed of posts that users hardly revisit, a liked post moves to the place of a clicked one.
#[test]
fn a_like_sends_a_post_no_further_down_than_a_click() {
    let moved = |kind: Kind| {
        let mut random = ChaCha8Rng::seed_from_u64(23);
        let mut town = Town::of_posts(24, LearnSettings::default());
        let mut met = vec![Vec::new(); 24];
        let (mut before, mut after, mut counted) = (0, 0, 0);
        for n in 0..600 {
            let user = n % 24;
            // The best unseen post of this user, or any: every user has a topic.
            let scores = town.scores(&town.people[user]);
            let fresh = |item: &u32| !met[user].contains(item);
            let best = (0..ITEMS).filter(fresh).max_by(|a, b| scores[*a as usize].total_cmp(&scores[*b as usize]));
            let item = if random.random::<f64>() < 0.5 { best.unwrap() } else { random.random_range(0..ITEMS) };
            let wanted = (item % 2 == user as u32 % 2) == (random.random::<f64>() < 0.9);
            let place = town.place(user, item);
            town.does(user, item, if wanted { kind } else { Kind::Skip }, 7 * MINUTE_MS);
            met[user].push(item);
            if wanted && n > 300 {
                (before, after, counted) = (before + place, after + town.place(user, item), counted + 1);
            }
        }
        println!("{}: {counted} moved from {before} to {after}", kind.name());
        (after as f64 - before as f64) / f64::from(counted)
    };
    let (clicked, liked) = (moved(Kind::Click), moved(Kind::Like));
    println!("places down: click {clicked:.2}, like {liked:.2}");
    assert!(liked <= clicked + 2.0, "a like moves a post {liked} places down, a click {clicked}");
}

/// In a log of views, answers define the order: an item that is shown often does not rank high for that reason.
#[test]
fn in_a_log_of_views_what_is_liked_comes_before_what_is_shown() {
    let mut offline = Offline::unwritten(4, Arc::new(LearnSettings::default()));
    offline.of_views();
    let posts = Town::of_posts(0, LearnSettings::default());
    let drafts = (0..ITEMS).map(|id| {
        let item = posts.coordinator.world().item(ItemId(id)).unwrap();
        Draft {
            attributes: None,
            key: item.key.clone(),
            author: None,
            topics: Some(vec![Key::new(["sea", "sky"][id as usize % 2]).unwrap()]),
            text: Some(item.text.clone()),
            embedding: Some(item.embedding.clone()),
            created: Some(Millis(0)),
            windows: None,
        }
    });
    offline.items(drafts.collect(), ItemWrite::Create, Millis(0));
    let mut random = ChaCha8Rng::seed_from_u64(29);
    let mut now = Millis(HOUR_MS);
    let mut likes = [0; 2];
    for n in 0..3_000 {
        now = now.plus(MINUTE_MS);
        // The second topic is shown ten times as often, and liked a quarter as often: it has more likes.
        let topic = u32::from(random.random::<f64>() < 10.0 / 11.0);
        let item = random.random_range(0..ITEMS / 2) * 2 + topic;
        let liked = random.random::<f64>() < [0.6, 0.15][topic as usize];
        likes[topic as usize] += u32::from(liked);
        let (id, kind) = (Key::of_number(n), if liked { Kind::Like } else { Kind::Skip });
        let (item, at) = (ItemId(item), now);
        let event = Interaction { id, item, kind, dwell_ms: None, at, shown: None, passed: Vec::new() };
        offline.act(UserId(n % 20), UserEvent::Interacted(event), now);
        offline.tick(now);
    }
    assert!(likes[1] > likes[0], "{likes:?}");
    let items: Vec<ItemId> = (0..ITEMS).map(ItemId).collect();
    let (mut scores, mut right) = (Vec::new(), 0);
    for user in 0..20 {
        offline.scores(UserId(user), &items, now, &mut scores);
        let mean = |topic: usize| scores.iter().skip(topic).step_by(2).sum::<f32>();
        right += u32::from(mean(0) > mean(1));
    }
    assert!(right >= 18, "{right} of 20 have what is liked on top");
}

/// The table of kinds in `docs/architecture.md` agrees with the effects of one event of each kind.
#[test]
fn the_table_of_kinds_is_true() {
    let page = include_str!("../../docs/architecture.md");
    let table = page.split("## What each kind teaches").nth(1).expect("the section is there");
    let mut rows = table.lines().filter(|line| line.starts_with('|')).take(2 + Kind::ALL.len() + 1);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let head = cells(rows.next().unwrap());
    assert_eq!(head, ["kind", "choice", "answer", "topic weight", "popularity", "visit", "hides"]);
    let mut seen = Vec::new();
    for row in rows.skip(1) {
        let said = cells(row);
        let name = said[0].trim_matches('`').split('`').next().unwrap();
        let kind = Kind::from_name(name).unwrap_or_else(|| panic!("{row}"));
        // A watch or read that is shorter than a bounce has a row of its own.
        let dwell = said[0].contains("bounce").then_some(500);
        seen.push((kind, dwell));
        let mut town = Town::of_posts(1, LearnSettings::default());
        let (item, before) = (3, town.coordinator.world().popularity().within_a_day(ItemId(3)));
        let learned = town.acts(0, item, kind, dwell, MINUTE_MS);
        let (person, world) = (&town.people[0], town.coordinator.world());
        let example = learned.example.as_deref();
        let yes = |is: bool| if is { "yes" } else { "-" };

        let choice = example.is_some_and(|example| !example.gradient.is_empty());
        assert_eq!(town.hedge().rounds, u64::from(choice), "{name}: the Hedge hears choices");
        let error = example.and_then(|example| example.opinion.as_ref()).map(|opinion| opinion.error);
        let answer = error.map_or("-", |error| if error < 0.0 { "yes" } else { "no" });
        assert_eq!(person.scores().progress.count(), u64::from(answer != "-"), "{name}: AUC counts answers");
        assert_eq!(person.online().weight_norm() > 0.0, answer != "-", "{name}: the online model learns answers");
        let approval = world.popularity().approval();
        assert_eq!(
            if approval > 0.5 {
                "yes"
            } else if approval < 0.5 {
                "no"
            } else {
                "-"
            },
            answer,
            "{name}: approval"
        );
        let topic = *world.item(ItemId(item)).unwrap().topics.first().unwrap();
        let wants = person.topics().at(topic, town.now, world.settings().topic_decay()) > 0.0;
        let popular = world.popularity().within_a_day(ItemId(item)) > before;
        let visit = example.is_some_and(|example| example.visits.is_some());
        assert_eq!(world.last_seen().of(UserId(0), town.now).is_some(), visit, "{name}: friends see visits");
        assert_eq!(person.history().back().unwrap().sign == Sign::Positive, visit, "{name}: habits are visits");
        let hides = person.has_hidden(ItemId(item));
        let found = [said[0].as_str(), yes(choice), answer, yes(wants), yes(popular), yes(visit), yes(hides)];
        assert_eq!(said, found, "docs/architecture.md says otherwise than what was learned");
    }
    for kind in Kind::ALL {
        assert!(seen.contains(&(kind, None)), "{} is not in the table", kind.name());
    }
}
