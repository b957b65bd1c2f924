//! Undo on the real server, on both stores: a user takes interactions back, and all screens show it.
//!
//! Invariant under test: the stored state after an undo is that of a user without the undone interactions, through
//! passivation and `kill -9`.

use crate::{postgres, support};

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::actors::Server as Actors;
use eddyline::actors::clock::{Clock, WallClock};
use eddyline::actors::context::Limits;
use eddyline::actors::server::{ItemDraft, ItemWrite, UserEvent};
use eddyline::actors::slates::SlateSettings;
use eddyline::actors::start::{Parts, start};
use eddyline::commands::check::check;
use eddyline::config::Config;
use eddyline::domain::ids::{ItemId, Key, Seq, UserId};
use eddyline::domain::interactions::{Act, Interaction, Inverse, Kind};
use eddyline::domain::journal::{Entry, Undo, What};
use eddyline::domain::time::Millis;
use eddyline::embed::hashing::HashingEmbedder;
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::user::UserState;
use eddyline::engine::world::World;
use eddyline::gateway::busy;
use eddyline::store::embedded::Embedded;
use eddyline::store::postgres::{Postgres, PostgresSettings, PostgresUrl};
use eddyline::store::{Store, recovery};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use support::Server;
use support::socket::Client;

const ITEMS: u32 = 40;
const PEOPLE: u32 = 12;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Runs a check on both stores; `variables` are settings of the server.
fn on_both(variables: &[(&str, &str)], check: impl Fn(Server)) {
    check(Server::start_with(tempfile::TempDir::new().unwrap(), variables));
    if !postgres::skipped() {
        let url = postgres::shared().url(&postgres::shared().database());
        check(Server::start_on_with(tempfile::TempDir::new().unwrap(), url, variables));
    }
}

fn listed(server: &Server, path: &str) -> Vec<String> {
    let body = server.rest().get(path).success(path).json();
    body["items"].as_array().unwrap().iter().map(|one| one["item"].as_str().unwrap().to_owned()).collect()
}

/// `ada` has two tabs. Both show each undo at once, whichever way it came.
#[test]
fn both_tabs_show_an_undo_at_once() {
    on_both(&[], |server| {
        server.items(12);
        server.people(&["ada", "bea"]);
        support::block_on(async {
            let mut tab = Client::hello(server.address(), "ada").await;
            let mut other = Client::hello(server.address(), "ada").await;
            assert!(tab.shows("item-3") && other.shows("item-3"));
            tab.interact_as("hide-3", "item-3", Kind::Hide).await;
            for screen in [&mut tab, &mut other] {
                screen.wait("item-3 to go", |client| !client.shows("item-3")).await;
            }
            // The feed precedes the commit, and the list holds durable interactions only.
            tab.wait_accepted("hide-3").await;
            assert_eq!(listed(&server, "/v1/users/ada/hidden"), ["item-3"]);
            let before = tab.shown();

            other.interact_as("unhide-3", "item-3", Act::Undo(Inverse::Unhide)).await;
            for screen in [&mut tab, &mut other] {
                screen.wait("item-3 to come back", |client| client.shows("item-3")).await;
            }
            assert_eq!(other.wait_accepted("unhide-3").await, 2);
            assert_ne!(tab.shown(), before);
            assert!(listed(&server, "/v1/users/ada/hidden").is_empty());

            tab.interact_as("hide-4", "item-4", Kind::Reject).await;
            tab.wait("item-4 to go", |client| !client.shows("item-4")).await;
            let undone = server.rest().delete("/v1/users/ada/interactions/hide-4").success("the undo").json();
            assert_eq!((&undone["event"], &undone["seq"]), (&json!("hide-4"), &json!(4)));
            for screen in [&mut tab, &mut other] {
                screen.wait("item-4 to come back", |client| client.shows("item-4")).await;
            }
            let again = server.rest().delete("/v1/users/ada/interactions/hide-4").success("the undo again").json();
            assert_eq!(again, undone, "a second one is answered as the first");

            tab.interact_as("hide-5", "item-5", Kind::Hide).await;
            other.wait("item-5 to go", |client| !client.shows("item-5")).await;
            tab.send_text(r#"{"type":"undo","id":"undo-5","event":"hide-5"}"#).await;
            for screen in [&mut tab, &mut other] {
                screen.wait("item-5 to come back", |client| client.shows("item-5")).await;
            }
            // A resend of the cancelled event is known, and does not hide the item again.
            tab.interact_as("hide-5", "item-5", Kind::Hide).await;
            tab.interact_as("view-6", "item-6", Kind::View).await;
            tab.wait_accepted("view-6").await;
            assert!(tab.shows("item-5"), "{:?}", tab.shown());
            tab.send_text(r#"{"type":"undo","id":"undo-none","event":"none"}"#).await;
            tab.wait("the refusal", |client| !client.errors().is_empty()).await;
            assert_eq!(tab.errors()[0].code.name(), "unknown_event");
        });
    });
}

/// Requests that cannot be carried out say why; a reused id with other contents is one of them.
#[test]
fn an_undo_says_what_it_cannot_do() {
    on_both(&[], |server| {
        server.items(3);
        server.people(&["ada", "bea"]);
        let rest = server.rest();
        let act = |id: &str, item: &str, kind: &str| json!({"user": "ada", "id": id, "item": item, "kind": kind});
        let like = act("like", "item-0", "like");
        let first = rest.post("/v1/interactions", &like).success("a like").json();
        assert_eq!(rest.post("/v1/interactions", &like).success("a resend").json(), first);
        for other in [act("like", "item-1", "like"), act("like", "item-0", "click"), act("like", "item-0", "unlike")] {
            let refused = rest.post("/v1/interactions", &other);
            assert_eq!((refused.status, refused.code().as_deref()), (409, Some("conflict")), "{other}");
        }
        let follow = rest.ask_with("PUT", "/v1/users/ada/follows/bea", None, None, &[("idempotency-key", "follow")]);
        assert_eq!(follow.status, 200);
        for (path, status, code) in [
            ("/v1/users/ada/interactions/none", 404, "unknown_event"),
            ("/v1/users/bea/interactions/like", 404, "unknown_event"),
            ("/v1/users/cleo/interactions/like", 404, "unknown_user"),
            ("/v1/users/ada/interactions/follow", 409, "conflict"),
            ("/v1/users/ada/interactions/like?all=1", 400, "bad_field"),
        ] {
            let refused = rest.delete(path);
            assert_eq!((refused.status, refused.code().as_deref()), (status, Some(code)), "{path}");
        }
        let dwell = json!({"user": "ada", "item": "item-0", "kind": "unlike", "dwell_ms": 5});
        assert_eq!(rest.post("/v1/interactions", &dwell).fields(), ["dwell_ms"]);
        assert_eq!(listed(&server, "/v1/users/ada/liked"), ["item-0"]);
        for id in ["unlike", "unlike-again"] {
            rest.post("/v1/interactions", &act(id, "item-0", "unlike")).success("even where nothing stands");
            assert!(listed(&server, "/v1/users/ada/liked").is_empty());
        }
        assert_eq!(rest.post("/v1/interactions", &like).success("a late resend").json(), first);
        assert!(listed(&server, "/v1/users/ada/liked").is_empty(), "it stays undone");
        rest.post("/v1/interactions", &act("like-2", "item-0", "like")).success("a new like");
        assert_eq!(listed(&server, "/v1/users/ada/liked"), ["item-0"]);
        let history: Vec<Value> = rest.history("ada").iter().map(|one| one["id"].clone()).collect();
        assert_eq!(history, ["like-2"], "cancelled interactions are not listed");
    });
}

/// Pages of hidden items join, and leave out items that were liked since.
#[test]
fn hidden_items_are_listed_page_by_page() {
    on_both(&[], |server| {
        server.items(20);
        server.people(&["ada"]);
        let act = |n: usize, item: usize, kind: &str| json!({"user": "ada", "id": format!("e{n}"), "item": format!("item-{item}"), "kind": kind});
        let hides = (0..20).map(|n| act(n, n, if n % 2 == 0 { "hide" } else { "reject" }));
        let acts: Vec<Value> = hides.chain([act(20, 7, "like"), act(21, 3, "hide")]).collect();
        server.rest().post("/v1/interactions", &json!(acts)).success("a lot of it");
        let expected: Vec<String> =
            [3].into_iter().chain((0..20).rev().filter(|n| *n != 3 && *n != 7)).map(|n| format!("item-{n}")).collect();
        assert_eq!(listed(&server, "/v1/users/ada/hidden"), expected);
        let (mut found, mut path) = (Vec::new(), "/v1/users/ada/hidden?limit=3".to_owned());
        loop {
            let body = server.rest().get(&path).success("a page").json();
            let page = body["items"].as_array().unwrap();
            assert!(page.len() <= 3);
            found.extend(page.iter().map(|one| one["item"].as_str().unwrap().to_owned()));
            let Some(next) = body["next"].as_u64() else { break };
            path = format!("/v1/users/ada/hidden?limit=3&after={next}");
        }
        assert_eq!(found, expected);
        assert_eq!(server.rest().get("/v1/users/ada/liked?limit=0").status, 422);
    });
}

/// An undo that was answered survives `kill -9`, for the user and for the learners that all users share.
#[test]
fn an_acknowledged_undo_survives_kill_9() {
    for is_embedded in [true, false] {
        if !is_embedded && postgres::skipped() {
            continue;
        }
        let url = (!is_embedded).then(|| postgres::shared().url(&postgres::shared().database()));
        let serve = |directory: tempfile::TempDir| match &url {
            None => Server::start(directory),
            Some(url) => Server::start_on(directory, url.clone()),
        };
        let mut server = serve(tempfile::TempDir::new().unwrap());
        server.items(12);
        server.people(&["ada", "bea"]);
        for round in 0..6 {
            let act = |user: &str, id: &str, item: usize, kind: &str| {
                let id = format!("{user}-{id}-{round}");
                let body =
                    json!({"user": user, "id": id, "item": format!("item-{item}"), "kind": kind, "at": 1_000 + round});
                server.rest().post("/v1/interactions", &body).success("an interaction");
            };
            // `bea` is the user who never does what `ada` undoes.
            for user in ["ada", "bea"] {
                act(user, "like", round, "like");
                act(user, "hide", 11 - round, "hide");
            }
            act("ada", "extra", (round + 2) % 12, "hide");
            act("ada", "more", (round + 4) % 12, "like");
            server.rest().delete(&format!("/v1/users/ada/interactions/ada-more-{round}")).success("an undo");
            if round % 2 == 0 {
                act("ada", "unhide", (round + 2) % 12, "unhide");
            } else {
                server.rest().delete(&format!("/v1/users/ada/interactions/ada-extra-{round}")).success("an undo");
            }
            server = serve(server.kill());
            let hidden = |user: &str| {
                let mut items = listed(&server, &format!("/v1/users/{user}/hidden"));
                items.sort();
                items
            };
            let feed = |user: &str| {
                let mut items = server.rest().feed(user, "limit=50");
                items.sort();
                items
            };
            assert_eq!((hidden("ada"), feed("ada")), (hidden("bea"), feed("bea")), "round {round}");
        }
    }
}

fn event(id: String, item: u32, kind: Kind) -> UserEvent {
    let (id, item) = (key(&id), ItemId(item));
    UserEvent::Interacted(Interaction {
        id,
        item,
        kind,
        dwell_ms: None,
        at: Millis(0),
        shown: None,
        passed: Vec::new(),
    })
}

/// The state of a user whose journal never had the cancelled entries.
async fn never(store: &dyn Store, user: UserId, world: &World) -> UserState {
    let all = store.entries_until(user, Millis::MAX).await.unwrap();
    let stands = |entry: &Entry| !matches!(entry.what, What::Cancelled(_) | What::Undone(_));
    let mut kept: Vec<Entry> = all.into_iter().filter(stands).collect();
    for (index, entry) in kept.iter_mut().enumerate() {
        entry.seq = Seq(index as u64 + 1);
    }
    recovery::fold(store, UserState::new(user), &kept, world).await.unwrap()
}

async fn actors(store: Arc<dyn Store>, limits: Limits) -> Actors {
    let parts = Parts {
        store,
        embedder: Arc::new(HashingEmbedder::new(384).unwrap()),
        models: eddyline::app::open_models(),
        clock: Arc::new(WallClock::default()),
        settings: Arc::new(LearnSettings::default()),
        limits,
        slates: SlateSettings::default(),
        threads: 2,
    };
    start(parts).await.unwrap()
}

/// Random interactions and undos of some users, who are passivated meanwhile; then their states are compared.
async fn undo_at_random(store: Arc<dyn Store>, seed: u64) {
    let limits = Limits { active_people: 4, idle_ms: 100, snapshot_every: 4, undo_after_ms: 0, ..Limits::default() };
    let server = actors(store.clone(), limits).await;
    for person in 0..PEOPLE {
        server.put_person(Key::of_number(person), None, None).await.unwrap();
    }
    let drafts = (0..ITEMS).map(|item| ItemDraft {
        key: Some(key(&format!("item-{item}"))),
        text: Some(format!("number {item} of forty")),
        ..ItemDraft::default()
    });
    server.write_items(drafts.collect(), ItemWrite::Create).await;
    let clients = (0..6_u64).map(|client| {
        let server = server.clone();
        actix_web::rt::spawn(async move {
            let mut random = ChaCha8Rng::seed_from_u64(seed * 100 + client);
            for turn in 0..150 {
                let user = UserId(random.random_range(0..PEOPLE));
                let (item, kind) = (random.random_range(0..8), Kind::ALL[random.random_range(0..Kind::ALL.len())]);
                let undo = |of| UserEvent::Undone {
                    id: key(&format!("u{client}-{turn}")),
                    of,
                    cancels: Vec::new(),
                    at: Millis::ON_ARRIVAL,
                };
                let sent = match random.random_range(0..10) {
                    0 => undo(Undo::Item(ItemId(item), Inverse::Unlike)),
                    1 => undo(Undo::Item(ItemId(item), Inverse::Unhide)),
                    // Of any client's: some are unknown, and some cancelled.
                    2 => {
                        let (whose, when) = (random.random_range(0..6), random.random_range(0..=turn));
                        undo(Undo::Event(key(&format!("e{whose}-{when}"))))
                    }
                    _ => event(format!("e{client}-{turn}"), item, kind),
                };
                loop {
                    match server.act(user, sent.clone()).await.map_err(busy::refusal) {
                        Err(refusal) if refusal.retry_after_ms.is_some() => {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        Err(refusal) if refusal.code.name() != "unknown_event" => panic!("{refusal:?}"),
                        _ => break,
                    }
                }
                if turn % 30 == 0 {
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let world = server.world();
    let mut cancelled = 0;
    for user in (0..PEOPLE).map(UserId) {
        let entries = store.entries_until(user, Millis::MAX).await.unwrap();
        assert!(entries.iter().map(|entry| entry.seq.0).eq(1..=entries.len() as u64), "no gaps");
        cancelled += entries.iter().filter(|entry| matches!(entry.what, What::Cancelled(_))).count();
        let (state, _) = recovery::recover(&*store, user, &world).await.unwrap();
        assert!(state.has_learned_as(&never(&*store, user, &world).await), "user {}", user.0);
        let model = server.model(user).await.unwrap();
        assert_eq!(
            (model.labelled, model.weight_norm),
            (state.scores().progress.count(), state.online().weight_norm())
        );
    }
    assert!(cancelled > 20, "{cancelled} entries were cancelled");
    // The shared learners have folded the journal again: their figures are those without the cancelled entries.
    let expected: u64 = {
        let mut count = 0;
        for user in (0..PEOPLE).map(UserId) {
            count += never(&*store, user, &world).await.scores().progress.count();
        }
        count
    };
    let began = Instant::now();
    while server.score().await.unwrap().labelled != expected {
        assert!(began.elapsed() < support::PATIENCE, "the shared learners still know what was undone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while server.active() > 0 {
        assert!(began.elapsed() < support::PATIENCE, "whoever is idle leaves");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.close().await;
    // Snapshots of passivated users are states in memory: they equal the fold of the journal.
    let found = check(store, &Config::default(), WallClock::default().now()).await.unwrap();
    assert_eq!(found.wrong, Vec::<String>::new());
    assert!(found.snapshots_equal > 0, "{found:?}");
}

#[test]
fn a_state_after_undo_is_that_of_a_user_who_never_did_it() {
    for seed in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        actix_web::rt::System::new().block_on(async {
            undo_at_random(Arc::new(Embedded::open(directory.path()).unwrap()), seed).await;
        });
        if postgres::skipped() {
            continue;
        }
        let url = PostgresUrl::parse(&postgres::shared().url(&postgres::shared().database())).unwrap();
        actix_web::rt::System::new().block_on(async {
            let store = Postgres::open(&url, &PostgresSettings::default()).await.unwrap();
            undo_at_random(Arc::new(store), seed).await;
        });
    }
}
