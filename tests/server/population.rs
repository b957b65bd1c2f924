//! The population: metrics, their distribution, and clusters of users; in the engine alone, and through the real
//! server.
//!
//! Invariant under test: the population is a fold over the journal, and a refit of unchanged users moves no user.

use crate::support;

use std::sync::Arc;
use std::time::Instant;

use eddyline::domain::feeds::Ranking;
use eddyline::domain::ids::{ItemId, Key, Position, Seq, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::{Author, Embedding};
use eddyline::domain::journal::{Entry, Measured, What};
use eddyline::domain::time::Millis;
use eddyline::domain::windows::{Window, Windows};
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, Effect, ItemWrite};
use eddyline::engine::population::refit::Clustering;
use eddyline::engine::rank::RankRequest;
use eddyline::engine::settings::{ClusterSettings, LearnSettings};
use eddyline::engine::user::{Effect as UserEffect, UserEvent, UserState};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{PATIENCE, Server, alike, now_ms};
use tempfile::TempDir;

const DIM: usize = 8;

pub(crate) fn entry(user: u32, seq: u64, kind: &str, seconds: f64) -> Entry {
    let key = |text: &str| Key::new(text).unwrap();
    let measured = Measured {
        metric: key("time_spent"),
        kind: Some(key(kind)),
        millionths: (seconds * 1e6) as i64,
        replaces: false,
    };
    let at = Millis(1_000 * seq as i64);
    Entry {
        user: UserId(user),
        seq: Seq(seq),
        id: key(&format!("m{seq}")),
        at,
        received: at,
        what: What::Measured(measured),
    }
}

fn settings(cluster: ClusterSettings) -> Arc<LearnSettings> {
    Arc::new(LearnSettings { cluster, ..LearnSettings::default() })
}

pub(crate) fn journalled(state: &mut CoordinatorState, entries: &[Entry]) {
    let after = state.covers().0;
    let entries: Vec<(Position, Entry)> = (after + 1..).map(Position).zip(entries.iter().cloned()).collect();
    assert!(state.apply(CoordinatorEvent::Journalled(entries.into()), Millis(0)).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Through snapshots or in one go, with or without an erased user: the population is the fold of the journal. Each
    /// user's means in it equal those of the user's own state.
    #[test]
    fn the_crowd_is_a_fold_over_the_journal(
        acts in prop::collection::vec((0_u32..6, 0_usize..4, 0.0_f64..=86_400.0), 1..120),
        cut in 0_usize..120,
    ) {
        let settings = settings(ClusterSettings::default());
        let kinds = ["post", "channel", "feed", "cellar"];
        let mut next = [0; 6];
        let entries: Vec<Entry> = acts
            .into_iter()
            .map(|(user, kind, value)| {
                next[user as usize] += 1;
                entry(user, next[user as usize], kinds[kind], value)
            })
            .collect();
        let mut whole = CoordinatorState::new(DIM, settings.clone());
        journalled(&mut whole, &entries);
        let mut parted = CoordinatorState::new(DIM, settings.clone());
        let cut = cut.min(entries.len());
        journalled(&mut parted, &entries[..cut]);
        let bytes = parted.to_bytes();
        let mut parted = CoordinatorState::new(DIM, settings.clone());
        parted.restore(&bytes, Millis(0)).unwrap();
        journalled(&mut parted, &entries[cut..]);
        prop_assert_eq!(parted.to_bytes(), whole.to_bytes(), "to the byte");
        for user in 0..6 {
            let own: Vec<Entry> = entries.iter().filter(|entry| entry.user == UserId(user)).cloned().collect();
            let person = UserState::replay(UserId(user), &own, whole.world(), &settings).unwrap();
            let in_population = whole.population().person(UserId(user)).cloned().unwrap_or_default();
            prop_assert_eq!(person.metrics(), &in_population);
        }
        // User 0 is erased: the recomputed fold has no trace of that user.
        let others: Vec<Entry> = entries.iter().filter(|entry| entry.user != UserId(0)).cloned().collect();
        let mut without = CoordinatorState::new(DIM, settings.clone());
        journalled(&mut without, &others);
        let mut refold = whole.refold();
        for (position, entry) in (1..).map(Position).zip(&others) {
            refold.fold(position, entry);
        }
        whole.take_over(refold);
        prop_assert_eq!(whole.to_bytes(), without.to_bytes());
    }
}

#[test]
fn a_snapshot_of_other_kinds_is_set_aside() {
    let mut state = CoordinatorState::new(DIM, settings(ClusterSettings::default()));
    journalled(&mut state, &[entry(0, 1, "post", 3.0)]);
    let bytes = state.to_bytes();
    let columns = vec!["time_spent".into(), "topic.sea".into()];
    let topics = settings(ClusterSettings { columns, ..ClusterSettings::default() });
    assert!(CoordinatorState::new(DIM, topics).restore(&bytes, Millis(0)).is_err(), "weights were not kept");
    let more = settings(ClusterSettings { threshold: 0, ..ClusterSettings::default() });
    assert!(CoordinatorState::new(DIM, more).restore(&bytes, Millis(0)).is_ok(), "when to fit teaches nothing");
}

/// The end of a fit of the clustering `default`.
fn done(epoch: u64, fit: Option<Clustering>) -> CoordinatorEvent {
    CoordinatorEvent::RefitDone { clustering: "default".into(), epoch, fit: fit.map(Box::new) }
}

/// The requested fit, if there is one.
fn refit_task(effects: Vec<Effect>) -> Option<Arc<eddyline::engine::population::refit::RefitTask>> {
    effects.into_iter().find_map(|effect| match effect {
        Effect::RefitTask(task) => Some(task),
        _ => None,
    })
}

#[test]
fn fits_are_due_one_at_a_time_and_not_too_often() {
    let options = ClusterSettings { threshold: 12, interval_s: 10, restarts: 2, ..ClusterSettings::default() };
    let mut state = CoordinatorState::new(DIM, settings(options));
    let look = |state: &mut CoordinatorState, asked: bool, at| {
        let asked = asked.then(|| "default".to_owned());
        refit_task(state.apply(CoordinatorEvent::Refit { asked }, Millis(at)))
    };
    journalled(&mut state, &[entry(0, 1, "post", 3.0), entry(0, 2, "post", 4.0)]);
    assert!(look(&mut state, false, 0).is_none(), "5 for the person, 1 for each measurement: 7 of 12");
    assert!(look(&mut state, true, 0).is_none(), "one person is no group");
    journalled(&mut state, &[entry(1, 1, "post", 30.0), entry(2, 1, "post", 31.0)]);
    let first = look(&mut state, false, 0).expect("12 points and more");
    journalled(&mut state, &(2..40).map(|seq| entry(2, seq, "post", 5.0)).collect::<Vec<_>>());
    assert!(look(&mut state, false, 60_000).is_none(), "one is under way");
    let rows = first.rows();
    let fit = first.problem(&rows).unwrap().solve().unwrap();
    let stale = done(first.epoch + 7, Some(first.clustering(rows.clone(), fit.clone())));
    assert!(state.apply(stale, Millis(61_000)).is_empty(), "nobody waits for that one");
    let back = done(first.epoch, Some(first.clustering(rows, fit)));
    let effects = state.apply(back.clone(), Millis(61_000));
    assert!(matches!(effects[..], [Effect::Publish(..), Effect::KeepFit(..)]), "{effects:?}");
    assert!(state.apply(back, Millis(61_000)).is_empty(), "told twice");
    assert_eq!(state.world().clusters().unwrap().summary.people, 3);
    let second = look(&mut state, false, 61_000).expect("much was measured meanwhile");
    assert!(second.epoch > first.epoch);
    // It fails: the clusters stay, and the next fit waits for its interval.
    assert!(state.apply(done(second.epoch, None), Millis(62_000)).is_empty());
    assert!(state.world().clusters().is_some());
    assert!(look(&mut state, true, 62_000).is_none(), "ten seconds between two");
    assert!(look(&mut state, false, 71_000).is_some(), "what was asked for is not forgotten");
}

const ITEMS: u32 = 40;

/// Number of measured users in two clusters.
const MEASURED: u32 = 60;

fn noise(n: u32) -> f64 {
    f64::from(n * 7_919 % 101) / 101.0
}

/// Cluster of a user, without outliers.
fn group_of(state: &CoordinatorState, user: u32) -> Option<u32> {
    let member = state.world().clusters()?.member(UserId(user))?;
    (!member.outlier).then_some(member.group)
}

/// A catalogue, and users in two clusters: even and odd ids.
fn two_groups() -> (CoordinatorState, Vec<Entry>) {
    let options = ClusterSettings { threshold: 0, interval_s: 0, restarts: 3, ..ClusterSettings::default() };
    let mut state = CoordinatorState::new(DIM, settings(options));
    let topics = ["sea", "sky", "land"].map(|topic| Key::new(topic).unwrap());
    let draft = |n: u32| {
        let numbers = (0..DIM as u32).map(|k| ((n * 31 + k * 17) % 29) as f32 / 7.0 - 1.99).collect();
        let author = Author { id: UserId(n % 5), key: Key::new(&format!("author-{}", n % 5)).unwrap() };
        let window = Window { start: Millis(i64::from(n)), stop: None };
        Draft {
            attributes: None,
            key: Key::new(&format!("item-{n}")).unwrap(),
            author: (!n.is_multiple_of(6)).then_some(author),
            topics: Some(topics[..1 + n as usize % 3].iter().rev().cloned().collect()),
            text: Some("text".into()),
            embedding: Some(Embedding::new(numbers, DIM).unwrap()),
            created: Some(Millis(i64::from(n) * 50)),
            windows: n.is_multiple_of(4).then(|| Windows::new(vec![window]).unwrap()),
        }
    };
    let drafts = (0..ITEMS).map(|n| (draft(n), ItemWrite::Create)).collect();
    state.apply(CoordinatorEvent::Items(drafts), Millis(10_000));
    let seconds = |user: u32| if user.is_multiple_of(2) { 10.0 } else { 60.0 } + 4.0 * noise(user);
    let measured: Vec<Entry> = (0..MEASURED).map(|user| entry(user, 1, "post", seconds(user))).collect();
    journalled(&mut state, &measured);
    let fit =
        refit_task(state.apply(CoordinatorEvent::Refit { asked: Some("default".into()) }, Millis(10_000))).unwrap();
    let rows = fit.rows();
    let found = fit.clustering(rows.clone(), fit.problem(&rows).unwrap().solve().unwrap());
    state.apply(done(fit.epoch, Some(found)), Millis(10_000));
    let two = group_of(&state, 0).is_some() && group_of(&state, 0) != group_of(&state, 1);
    assert!(two && (0..6).all(|user| group_of(&state, user) == group_of(&state, user % 2)), "two groups");
    (state, measured)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Popularity within clusters is a fold over the journal, whose entries name the cluster. An item that is scored
    /// alone, with a part of the evidence, gets its score among all items, bit by bit.
    #[test]
    fn what_groups_go_to_is_folded_and_an_item_alone_scores_as_among_all(
        acts in prop::collection::vec((0_u32..6, 0..ITEMS, prop::sample::select(Kind::ALL.to_vec()), 0_i64..40_000_000), 1..80),
        follows in prop::collection::vec((0_u32..6, 0_u32..6), 0..8),
        cut in 0_usize..100,
    ) {
        let (mut state, mut journal) = two_groups();
        let mut people: Vec<UserState> = (0..6).map(|user| UserState::new(UserId(user))).collect();
        let (mut half, mut now) = (None, Millis(20_000));
        let events = follows.into_iter().map(|(who, whom)| (who, None, whom, 0));
        let events = events.chain(acts.into_iter().map(|(who, item, kind, wait)| (who, Some(kind), item, wait)));
        for (n, (who, kind, what, wait)) in events.enumerate() {
            now = now.plus(wait);
            let id = Key::new(&format!("event-{n}")).unwrap();
            let event = match kind {
                None => UserEvent::Followed { id, user: UserId(what), at: now },
                Some(kind) => UserEvent::Interacted(Interaction {
                    id, item: ItemId(what), kind, dwell_ms: None, at: now, shown: None, passed: Vec::new(),
                }),
            };
            let effects = people[who as usize].apply(event, state.world(), now);
            let entries: Vec<Entry> = effects
                .into_iter()
                .filter_map(|effect| if let UserEffect::Journal(entry) = effect { Some(entry) } else { None })
                .collect();
            for entry in &entries {
                if let What::Interacted(learned) = &entry.what {
                    let named = learned.example.as_ref().map(|example| example.group);
                    prop_assert!(named.is_none_or(|named| named == group_of(&state, who)));
                }
            }
            journalled(&mut state, &entries);
            journal.extend(entries);
            state.apply(CoordinatorEvent::Tick, now);
            if n == cut {
                half = Some((journal.len(), state.clone()));
            }
        }
        let world = state.world();
        for person in &people {
            let feed = person.rank(world, now, RankRequest { ranking: Ranking::Model, limit: 100, explain: false });
            prop_assert!(!feed.is_empty() || person.hidden().count() > 0);
            for one in feed {
                let alone = person.score_of(world, one.item, now, Ranking::Model);
                prop_assert_eq!(alone.map(f32::to_bits), Some(one.score.to_bits()));
            }
        }
        prop_assert_eq!(people[0].score_of(world, ItemId(ITEMS), now, Ranking::Model), None);
        // Equal results from a snapshot, and from a recomputed fold.
        let told = |mut state: CoordinatorState| {
            state.restore(&state.to_bytes(), now).unwrap();
            state.world().cluster_popularity().clone()
        };
        if let Some((done, mut resumed)) = half {
            resumed.restore(&resumed.to_bytes(), now).unwrap();
            journalled(&mut resumed, &journal[done..]);
            prop_assert!(told(resumed) == told(state.clone()));
        }
        let mut refold = state.refold();
        (1..).map(Position).zip(&journal).for_each(|(position, entry)| refold.fold(position, entry));
        let mut afresh = state.clone();
        afresh.take_over(refold);
        prop_assert!(told(afresh) == told(state));
    }
}

/// Two clusters like one item each: for a third user of each cluster that item is the popular one.
#[test]
fn what_a_group_likes_is_popular_in_it() {
    let (mut state, _) = two_groups();
    let mut now = Millis(20_000);
    for round in 0..20_u64 {
        for user in 0..4 {
            now = now.plus(1_000);
            let mut person = UserState::new(UserId(user));
            let id = Key::new(&format!("event-{round}")).unwrap();
            let (item, kind) = (ItemId(8 + user % 2), Kind::Like);
            let like = Interaction { id, item, kind, dwell_ms: None, at: now, shown: None, passed: Vec::new() };
            let effects = person.apply(UserEvent::Interacted(like), state.world(), now);
            let UserEffect::Journal(entry) = &effects[0] else { panic!("{effects:?}") };
            let entries = [Entry { seq: Seq(2 + round), ..entry.clone() }];
            journalled(&mut state, &entries);
        }
    }
    state.apply(CoordinatorEvent::Tick, now);
    let world = state.world();
    let of = |user: u32, item: u32| {
        let group = group_of(&state, user).unwrap();
        let overall = world.popularity().within_a_day(ItemId(item));
        world.cluster_popularity().of(group).unwrap().popularity(ItemId(item), overall)
    };
    assert!(of(4, 8) > of(4, 9) + 1.0 && of(5, 9) > of(5, 8) + 1.0, "{} {}", of(4, 8), of(4, 9));
    assert!(of(4, 8) > of(4, 30), "and more than what nobody likes");
}

/// Three clusters by time on posts and in channels, 40 users each, and one user far away from all.
fn measure(server: &Server) {
    let rest = server.rest();
    let noise = |n: usize| ((n * 7_919) % 101) as f64 / 101.0;
    for n in 0..121 {
        let name = format!("person-{n}");
        rest.put(&format!("/v1/users/{name}"), &json!({})).success("make a person known");
        let (post, channel) = match n {
            120 => (5_000.0, 4_000.0),
            _ => [(10.0, 60.0), (60.0, 10.0), (100.0, 120.0)][n % 3],
        };
        let body = json!([
            {"metric": "time_spent", "page_type": "post", "time_spent": post + 4.0 * noise(n), "id": "a"},
            {"metric": "time_spent", "page_type": "channel", "time_spent": channel + 4.0 * noise(3 * n + 1), "id": "b"},
        ]);
        let answer = rest.post(&format!("/v1/metrics?user={name}"), &body).success("measure").json();
        assert_eq!(answer, json!({"accepted": 2, "ignored": 0}));
    }
}

fn wait_for_epoch(server: &Server, above: i64) -> Value {
    let begin = Instant::now();
    loop {
        let found = server.rest().get("/v1/clusters").success("groups").json();
        if found["epoch"].as_i64().unwrap_or(-1) > above {
            return found;
        }
        assert!(begin.elapsed() < 3 * PATIENCE, "no fit after {above}: {found}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

const BY_HAND: [(&str, &str); 3] = [
    ("EDDYLINE_CLUSTER__THRESHOLD", "0"),
    ("EDDYLINE_CLUSTER__INTERVAL_S", "1"),
    ("EDDYLINE_CLUSTER__COLUMNS", "[\"time_spent.post\", \"time_spent.channel\"]"),
];

#[test]
fn groups_are_found_and_a_refit_moves_nobody_not_even_after_a_crash() {
    let server = Server::start_with(TempDir::new().unwrap(), &BY_HAND);
    measure(&server);
    let rest = server.rest();
    assert_eq!(rest.get("/v1/clusters").json()["epoch"], Value::Null, "none was asked for");
    assert_eq!(rest.get("/v1/users/person-0").json()["cluster"], Value::Null);
    assert_eq!(rest.post("/v1/clusters/refit", &json!({})).status, 202);
    let first = wait_for_epoch(&server, -1);
    assert_eq!(first["clusters"].as_array().unwrap().len(), 3, "{first}");
    assert_eq!((&first["people"], &first["outliers"]), (&json!(121), &json!(1)));
    assert_eq!(first["points"].as_array().unwrap().len(), 121);
    assert_eq!(first["columns"], json!(["time_spent.post", "time_spent.channel"]));
    let place = |server: &Server, n: usize| {
        server.rest().get(&format!("/v1/users/person-{n}")).success("a person").json()["cluster"].clone()
    };
    let places: Vec<Value> = (0..121).map(|n| place(&server, n)).collect();
    for n in 0..120 {
        assert_eq!(places[n]["id"], places[n % 3]["id"], "person-{n}");
        assert!(places[n]["probability"].as_f64().unwrap() > 0.9, "{}", places[n]);
    }
    assert_eq!(places[120]["id"], Value::Null, "far away from all: {}", places[120]);
    assert!(places[120]["outlier"].as_f64().unwrap() > 0.5);
    let model = rest.get("/v1/users/person-1/model").json();
    assert_eq!((&model["cluster"], &model["metrics"][0]["count"]), (&places[1], &json!(2)));
    // Members of a cluster.
    let id = places[0]["id"].as_u64().unwrap();
    let list = rest.get(&format!("/v1/users?cluster={id}&limit=1000")).success("a group").json();
    assert_eq!(list["users"].as_array().unwrap().len(), 40);
    assert!(list["users"].as_array().unwrap().iter().all(|one| one["cluster"]["id"] == id));
    assert_eq!(rest.get("/v1/users?cluster=99").fields(), ["cluster"]);
    // Popularity within a cluster: two of its members like one item, all other users another.
    for (item, n) in [("calm", 1), ("loud", 0)] {
        rest.put(&format!("/v1/items/{item}"), &json!({"text": item, "topics": [item]})).success("an item");
        for n in (n..n + 60).step_by(3) {
            let like = json!({"user": format!("person-{n}"), "id": format!("like-{n}"), "item": item, "kind": "like"});
            rest.post("/v1/interactions", &like).success("like");
        }
    }
    let names = |path: &str| -> Vec<Value> {
        let found = rest.get(path).success(path).json();
        found["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect()
    };
    let begin = Instant::now();
    let theirs = format!("/v1/popular?cluster={id}");
    while names(&theirs) != ["loud", "calm"] {
        assert!(begin.elapsed() < PATIENCE, "{:?}", rest.get(&theirs).json());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let others = places[1]["id"].as_u64().unwrap();
    assert_eq!(names(&format!("/v1/popular?cluster={others}")), ["calm", "loud"]);
    assert_eq!(names("/v1/popular?topic=calm&limit=5"), ["calm"]);
    for (path, field) in
        [("/v1/popular?cluster=99", "cluster"), ("/v1/popular?topic=x", "topic"), ("/v1/popular?limit=0", "limit")]
    {
        assert_eq!(rest.get(path).fields(), [field], "{path}");
    }
    // Again, with nothing changed.
    rest.post("/v1/clusters/refit", &json!({})).success("refit");
    let second = wait_for_epoch(&server, first["epoch"].as_i64().unwrap());
    assert_eq!(second["clusters"], first["clusters"], "to the last digit");
    assert_eq!(second["previous"]["epoch"], first["epoch"]);
    assert!((0..121).all(|n| place(&server, n) == places[n]), "nobody has moved");
    let history = rest.get("/v1/clusters/history").success("history").json();
    let epochs: Vec<&Value> = history["fits"].as_array().unwrap().iter().map(|fit| &fit["epoch"]).collect();
    assert_eq!(epochs, [&second["epoch"], &first["epoch"]]);
    assert!(!history.to_string().contains("person-"), "history names nobody");
    // Killed and started again: all users keep their clusters, before and after the next fit.
    let server = Server::start_with(server.kill(), &BY_HAND);
    assert_eq!(wait_for_epoch(&server, -1)["epoch"], second["epoch"]);
    assert!((0..121).all(|n| place(&server, n) == places[n]), "nobody has moved");
    server.rest().post("/v1/clusters/refit", &json!({})).success("refit");
    let third = wait_for_epoch(&server, second["epoch"].as_i64().unwrap());
    assert_eq!(third["clusters"], first["clusters"]);
    // After an erasure the user's assignment is not published, and fits omit the user.
    server.rest().delete("/v1/users/person-120").success("erase");
    let told = server.rest().get("/v1/clusters").json();
    assert!(told["points"].as_array().unwrap().iter().all(|point| point["user"] != "person-120"), "{told}");
    let fourth = wait_for_epoch(&server, third["epoch"].as_i64().unwrap());
    assert_eq!(fourth["people"], 120, "{}", fourth["clusters"]);
}

#[test]
fn groups_are_found_by_counting() {
    let server = Server::start_with(TempDir::new().unwrap(), &[("EDDYLINE_CLUSTER__INTERVAL_S", "1")]);
    measure(&server);
    let found = wait_for_epoch(&server, 0);
    assert_eq!(found["columns"], json!(["time_spent"]), "by default what was measured over all");
}

#[test]
fn measurements_are_taken_once_and_say_what_is_normal() {
    let server = support::server();
    measure(&server);
    let rest = server.rest();
    let before = rest.get("/v1/metrics").success("metrics").json();
    let of = |body: &Value, kind: Value| {
        body["metrics"].as_array().unwrap().iter().find(|one| one["type"] == kind).cloned().unwrap()
    };
    let post = of(&before, json!("post"));
    assert_eq!((&post["name"], &post["people"]), (&json!("time_spent"), &json!(121)));
    let (mean, interval) = (post["mean"].as_f64().unwrap(), post["mean_interval"].clone());
    assert!(interval[0].as_f64().unwrap() < mean && mean < interval[1].as_f64().unwrap());
    assert_eq!(of(&before, json!("live"))["mean"], Value::Null, "nobody was there");
    assert_eq!(before["ignored"], 0);
    // The id of another measurement is rejected.
    let other = json!({"metric": "time_spent", "page_type": "post", "time_spent": 80_000, "id": "a"});
    let refused = rest.post("/v1/metrics?user=person-3", &other);
    assert_eq!((refused.status, refused.code().as_deref()), (409, Some("conflict")), "{}", refused.body);
    // Resent ids teach nothing new. Undeclared metrics and types are refused, or ignored and counted on request.
    let noise = ((3 * 7_919) % 101) as f64 / 101.0;
    let body = json!([
        {"metric": "time_spent", "page_type": "post", "time_spent": 10.0 + 4.0 * noise, "id": "a"},
        {"metric": "clicks", "page_type": "post", "clicks": 3},
        {"metric": "time_spent", "page_type": "cellar", "time_spent": 3},
    ]);
    let refused = rest.post("/v1/metrics?user=person-3", &body);
    assert_eq!((refused.status, refused.fields()), (400, vec!["[1].metric".to_owned()]), "{}", refused.body);
    let answer = rest.post("/v1/metrics?user=person-3&unknown=ignore", &body).success("measure").json();
    assert_eq!(answer, json!({"accepted": 1, "ignored": 2}));
    let after = rest.get("/v1/metrics").success("metrics").json();
    assert_eq!((&after["metrics"], &after["ignored"]), (&before["metrics"], &json!(2)));
    let export = rest.get("/v1/users/person-3/export").success("export").json();
    let journal = export["journal"].as_array().unwrap();
    assert_eq!(journal.len(), 2, "what was passed over is journalled nowhere: {journal:?}");
    assert_eq!(
        (&journal[0]["kind"], &journal[0]["metric"], &journal[0]["type"]),
        (&json!("measured"), &json!("time_spent"), &json!("post"))
    );
    // Outliers of the population.
    let found = rest.get("/v1/metrics/time_spent/atypical?type=post").success("atypical").json();
    let users: Vec<&Value> = found["people"].as_array().unwrap().iter().map(|one| &one["user"]).collect();
    assert_eq!(users, ["person-120"], "{found}");
    assert!(found["people"][0]["sigmas"].as_f64().unwrap() > 2.0);
    let all = rest.get("/v1/metrics/time_spent/atypical?sigmas=0.001&limit=5").success("atypical").json();
    assert_eq!((all["people"].as_array().unwrap().len(), &all["type"]), (5, &Value::Null));
    // Durable, and exact after a crash.
    let server = server.restart();
    let again = server.rest().get("/v1/metrics").success("metrics").json();
    assert!(alike(&again["metrics"], &before["metrics"]), "{again}");
    // Erased: no longer part of the distribution.
    server.rest().delete("/v1/users/person-120").success("erase");
    let begin = Instant::now();
    while of(&server.rest().get("/v1/metrics").json(), json!("post"))["people"] != 120 {
        assert!(begin.elapsed() < PATIENCE, "they are counted still");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn what_is_wrong_with_measurements_is_named_and_nothing_is_learned() {
    let server = support::server();
    server.people(&["ada"]);
    let rest = server.rest();
    let good = json!({"metric": "time_spent", "page_type": "post", "time_spent": 1});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (path, body, status, field) in [
        ("/v1/metrics", good.clone(), 400, "user"),
        ("/v1/metrics?user=nobody", good.clone(), 404, "user"),
        ("/v1/metrics?user=ada", with("time_spent", json!(-1)), 422, "time_spent"),
        ("/v1/metrics?user=ada", with("time_spent", json!(86_400.5)), 422, "time_spent"),
        ("/v1/metrics?user=ada", with("time_spent", json!("1")), 400, "time_spent"),
        ("/v1/metrics?user=ada", with("page_type", json!(null)), 400, "page_type"),
        ("/v1/metrics?user=ada", with("at", json!(now_ms() + 3_600_000)), 422, "at"),
        ("/v1/metrics?user=ada", with("id", json!("x".repeat(256))), 400, "id"),
        ("/v1/metrics?user=ada", with("colour", json!(1)), 400, "colour"),
        ("/v1/metrics?user=ada", json!([good.clone(), with("time_spent", json!(-1))]), 422, "[1].time_spent"),
        ("/v1/metrics?usr=ada", good.clone(), 400, "usr"),
        ("/v1/metrics?user=ada&unknown=skip", good.clone(), 400, "unknown"),
        ("/v1/metrics?user=ada", with("metric", json!("clicks")), 400, "metric"),
        ("/v1/metrics?user=ada", with("metric", json!("visits")), 400, "metric"),
        ("/v1/metrics?user=ada", with("page_type", json!("cellar")), 400, "page_type"),
        ("/v1/metrics?user=ada", with("user", json!("nobody")), 404, "user"),
        ("/v1/metrics?user=ada", with("user", json!(7)), 400, "user"),
    ] {
        let answer = rest.post(path, &body);
        assert_eq!(answer.fields(), [field], "{path} {body}: {}", answer.body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
    }
    let many: Vec<&Value> = std::iter::repeat_n(&good, 101).collect();
    assert!((400..500).contains(&rest.post("/v1/metrics?user=ada", &json!(many)).status));
    for body in [json!(7), json!("x"), json!([7]), json!([[]])] {
        let answer = rest.post("/v1/metrics?user=ada", &body);
        assert!((400..500).contains(&answer.status), "{body}: {}", answer.body);
    }
    assert_eq!(rest.history("ada").len(), 0);
    let export = rest.get("/v1/users/ada/export").success("export").json();
    assert_eq!(export["journal"], json!([]), "nothing was learned");
    for (path, field) in [
        ("/v1/metrics/time_spent/atypical?type=cellar", "type"),
        ("/v1/metrics/time_spent/atypical?sigmas=0", "sigmas"),
        ("/v1/metrics/time_spent/atypical?sigmas=nan", "sigmas"),
        ("/v1/metrics/time_spent/atypical?sigmas=many", "sigmas"),
        ("/v1/metrics/time_spent/atypical?limit=0", "limit"),
        ("/v1/clusters/history?limit=101", "limit"),
        ("/v1/users?cluster=-1", "cluster"),
        ("/v1/users?cluster=0", "cluster"),
    ] {
        let answer = rest.get(path);
        assert_eq!(answer.fields(), [field], "{path}: {}", answer.body);
    }
    assert_eq!(rest.get("/v1/metrics/time_spent/atypical?type=cellar").status, 400, "as in a measurement");
    // Each route that names an undeclared metric refuses it by one code.
    for path in ["/v1/metrics/clicks", "/v1/metrics/clicks/atypical"] {
        let answer = rest.get(path);
        assert_eq!((answer.status, answer.code()), (404, Some("unknown_metric".into())), "{path}: {}", answer.body);
    }
}

#[test]
fn a_topic_can_be_a_column_and_its_weights_are_the_persons_own() {
    let columns = ("EDDYLINE_CLUSTER__COLUMNS", "[\"topic.a\", \"topic.b\"]");
    let server = Server::start_with(TempDir::new().unwrap(), &[columns, BY_HAND[0], BY_HAND[1]]);
    server.items(6);
    let rest = server.rest();
    for n in 0..40 {
        let name = format!("person-{n}");
        server.people(&[&name]);
        let mine = if n % 2 == 0 { json!({"a": 0.9}) } else { json!({"b": 0.8}) };
        rest.patch(&format!("/v1/users/{name}/model"), &json!({"topics": mine})).success("set topics");
        if n < 4 {
            rest.post("/v1/interactions", &json!({"user": name, "item": "item-0", "kind": "like"})).success("like");
        }
    }
    rest.post("/v1/clusters/refit", &json!({})).success("refit");
    let found = wait_for_epoch(&server, -1);
    assert_eq!(found["people"], 40, "{found}");
    for point in found["points"].as_array().unwrap() {
        let user = point["user"].as_str().unwrap();
        let model = rest.get(&format!("/v1/users/{user}/model")).success("a model").json();
        for (place, topic) in ["a", "b"].into_iter().enumerate() {
            let (value, weight) = (&point["values"][place], model["topics"].get(topic).cloned().unwrap_or(json!(0.0)));
            assert!(alike(value, &weight), "{user} {topic}: {value}, {weight}");
        }
    }
}
