//! Passivation of users: nothing is lost and nothing is doubled.
//!
//! Invariant under test: a message that races with passivation is learned exactly once, by this incarnation of the
//! user's actor or by the next. A saved snapshot equals the fold of the journal.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eddyline::actors::Server;
use eddyline::actors::clock::{Clock, WallClock};
use eddyline::actors::context::Limits;
use eddyline::actors::server::{ItemDraft, ItemWrite, UserEvent};
use eddyline::actors::slates::SlateSettings;
use eddyline::actors::start::{Parts, start};
use eddyline::commands::check::check;
use eddyline::config::Config;
use eddyline::domain::ids::{ItemId, Key, Seq, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::time::Millis;
use eddyline::domain::windows::{Window, Windows};
use eddyline::embed::hashing::HashingEmbedder;
use eddyline::engine::settings::LearnSettings;
use eddyline::gateway::busy;
use eddyline::protocol::problem::Code;
use eddyline::protocol::refusal::Refusal;
use eddyline::store::Store;
use eddyline::store::embedded::Embedded;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PEOPLE: u32 = 300;
const ACTIVE: usize = 20;

fn store(directory: &Path) -> Arc<dyn Store> {
    Arc::new(Embedded::open(directory).unwrap())
}

async fn server(store: Arc<dyn Store>, limits: Limits) -> Server {
    server_with(store, limits, Arc::new(WallClock::default())).await
}

async fn server_with(store: Arc<dyn Store>, limits: Limits, clock: Arc<dyn Clock>) -> Server {
    start(Parts {
        store,
        embedder: Arc::new(HashingEmbedder::new(384).unwrap()),
        models: eddyline::app::open_models(),
        clock,
        settings: Arc::new(LearnSettings::default()),
        limits,
        slates: SlateSettings::default(),
        threads: 2,
    })
    .await
    .unwrap()
}

async fn populate(server: &Server) {
    for person in 0..PEOPLE {
        server.put_person(Key::of_number(person), None, None).await.unwrap();
    }
    let drafts = (0..40).map(|item| ItemDraft {
        key: Some(Key::new(&format!("item-{item}")).unwrap()),
        text: Some(format!("number {item} of forty")),
        ..ItemDraft::default()
    });
    for written in server.write_items(drafts.collect(), ItemWrite::Create).await {
        written.unwrap();
    }
}

fn event(id: &str, item: u32) -> UserEvent {
    let kind = if item.is_multiple_of(3) { Kind::Like } else { Kind::Click };
    let id = Key::new(id).unwrap();
    UserEvent::Interacted(Interaction {
        id,
        item: ItemId(item),
        kind,
        dwell_ms: None,
        at: Millis(0),
        shown: None,
        passed: Vec::new(),
    })
}

/// Sixteen clients act for 300 users, of whom 20 may be in memory. A third of all events is sent twice, by independent
/// clients.
#[test]
fn a_message_that_races_with_passivation_is_learned_once() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { active_people: ACTIVE, idle_ms: 100, snapshot_every: 4, ..Limits::default() };
    actix_web::rt::System::new().block_on(async {
        let store = store(directory.path());
        let server = server(store.clone(), limits).await;
        populate(&server).await;
        let clients = (0..16_u64).map(|client| {
            let server = server.clone();
            actix_web::rt::spawn(async move {
                let mut random = ChaCha8Rng::seed_from_u64(client);
                let mut answers: Vec<((u32, String), Seq)> = Vec::new();
                for turn in 0..400 {
                    let person = random.random_range(0..PEOPLE);
                    // Ids overlap between clients: two sides send one event.
                    let id = format!("event-{}", random.random_range(0..40));
                    let item = u32::try_from(id.len()).unwrap() + person % 30;
                    let sent = event(&id, item);
                    loop {
                        match server.act(UserId(person), sent.clone()).await.map_err(busy::refusal) {
                            Ok(seq) => break answers.push(((person, id), seq)),
                            Err(refusal) => {
                                let wait = refusal.retry_after_ms.unwrap_or_else(|| panic!("{refusal:?}"));
                                tokio::time::sleep(Duration::from_millis(wait.into())).await;
                            }
                        }
                    }
                    if turn % 50 == 0 {
                        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
                    }
                }
                answers
            })
        });
        let mut numbers: BTreeMap<(u32, String), Seq> = BTreeMap::new();
        for client in clients.collect::<Vec<_>>() {
            for (event, seq) in client.await.unwrap() {
                let known = *numbers.entry(event.clone()).or_insert(seq);
                assert_eq!(known, seq, "{event:?} is answered the same way each time");
            }
        }
        // All users may be passivated now.
        for _ in 0..100 {
            if server.active() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(server.active(), 0, "whoever is idle leaves");
        for person in 0..PEOPLE {
            let stored = server.interactions_of_user(UserId(person), None, 1_000).await.unwrap();
            let expected = numbers.keys().filter(|(who, _)| *who == person).count();
            assert_eq!(stored.len(), expected, "person {person}: each event once");
            for (_, entry) in stored {
                assert_eq!(numbers[&(person, entry.id.as_str().to_owned())], entry.seq);
            }
        }
        server.close().await;
        // Snapshots that passivation saved equal the fold of the journal.
        let found = check(store, &Config::default(), WallClock::default().now()).await.unwrap();
        assert_eq!(found.wrong, Vec::<String>::new());
        assert!(found.snapshots_equal > u64::from(PEOPLE) / 2, "{found:?}");
    });
}

/// However many users act, at most the limit stays in memory; a returning user has its former state.
#[test]
fn no_more_people_than_the_limit_stay_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits { active_people: ACTIVE, ..Limits::default() };
    actix_web::rt::System::new().block_on(async {
        let server = server(store(directory.path()), limits).await;
        populate(&server).await;
        for round in 1..=3_u64 {
            for person in 0..PEOPLE {
                let seq = server.act(UserId(person), event(&format!("round-{round}"), person % 40)).await.unwrap();
                assert_eq!(seq, Seq(round), "person {person} goes on where they left");
            }
        }
        for _ in 0..50 {
            if server.active() <= ACTIVE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(server.active() <= ACTIVE, "{} are active", server.active());
        server.close().await;
    });
}

/// A resend that is older than the state's memory is found in the store before anything is learned. It gets its first
/// number, and new events next to it are learned once.
#[test]
fn an_old_resend_gets_its_number_and_what_came_after_is_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    actix_web::rt::System::new().block_on(async {
        let store = store(directory.path());
        let server = server(store.clone(), Limits { snapshot_every: 50, ..Limits::default() }).await;
        populate(&server).await;
        let person = UserId(7);
        for number in 1..=600_u64 {
            assert_eq!(server.act(person, event(&format!("first-{number}"), 3)).await.unwrap(), Seq(number));
        }
        // Old resends and new events concurrently, so that some new ones extend a state that must be rebuilt.
        let sent = (0..200_u64).map(|number| {
            let server = server.clone();
            actix_web::rt::spawn(async move {
                let old = number.is_multiple_of(4);
                let id = if old { format!("first-{}", number + 1) } else { format!("second-{number}") };
                // A resend has the contents of the first event.
                let item = if old { 3 } else { 4 };
                let answer = loop {
                    match server.act(person, event(&id, item)).await.map_err(busy::refusal) {
                        Ok(seq) => break seq,
                        Err(refusal) => {
                            let wait = refusal.retry_after_ms.unwrap_or_else(|| panic!("{refusal:?}"));
                            tokio::time::sleep(Duration::from_millis(wait.into())).await;
                        }
                    }
                };
                (old.then_some(Seq(number + 1)), answer)
            })
        });
        let mut new = Vec::new();
        for one in sent.collect::<Vec<_>>() {
            match one.await.unwrap() {
                (Some(expected), answer) => assert_eq!(answer, expected, "the same answer as the first time"),
                (None, answer) => new.push(answer.0),
            }
        }
        new.sort_unstable();
        assert_eq!(new, (601..=750).collect::<Vec<_>>(), "each new event once, without gaps");
        assert_eq!(server.look_counts().1, 0, "no state was folded again");
        server.close().await;
        let found = check(store, &Config::default(), WallClock::default().now()).await.unwrap();
        assert_eq!((found.wrong, found.entries), (Vec::<String>::new(), 750));
    });
}

/// A clock that the test sets.
struct SetClock(std::sync::atomic::AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}

/// After the clock was set a day forward and back, windows, pushes and learning follow it again, without a restart.
#[test]
fn a_clock_that_was_set_forward_and_back_does_not_freeze_time() {
    const DAY: i64 = 86_400_000;
    const BEGIN: i64 = 20_000 * DAY;
    let directory = tempfile::tempdir().unwrap();
    actix_web::rt::System::new().block_on(async {
        let clock = Arc::new(SetClock(BEGIN.into()));
        let set = |to: i64| clock.0.store(to, std::sync::atomic::Ordering::Relaxed);
        let store = store(directory.path());
        let server = server_with(store.clone(), Limits::default(), clock.clone()).await;
        server.put_person(Key::of_number(0), None, None).await.unwrap();
        let window = |start: i64, stop: i64| {
            let one = Window { start: Millis(BEGIN + start), stop: Some(Millis(BEGIN + stop)) };
            Some(Windows::new(vec![one]).unwrap())
        };
        let draft = |key: &str, windows| ItemDraft {
            key: Some(Key::new(key).unwrap()),
            text: Some(key.into()),
            windows,
            ..ItemDraft::default()
        };
        let hour = DAY / 24;
        let drafts = vec![
            draft("always", None),
            draft("today", window(-hour, hour)),
            draft("soon", window(hour / 2, 2 * hour)),
            draft("tomorrow", window(DAY - hour, DAY + hour)),
        ];
        for written in server.write_items(drafts, ItemWrite::Create).await {
            written.unwrap();
        }
        let open = || {
            let (world, mut open) = (server.world(), Vec::new());
            for (item, name) in ["always", "today", "soon", "tomorrow"].into_iter().enumerate() {
                if world.open().contains(item as u32) {
                    open.push(name);
                }
            }
            open
        };
        let like = |id: &str| match event(id, 0) {
            UserEvent::Interacted(one) => UserEvent::Interacted(Interaction { at: clock.now(), ..one }),
            other => other,
        };
        let becomes = async |expected: &[&str]| {
            for _ in 0..50 {
                if open() == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(open(), expected, "the world as of the clock");
        };
        becomes(&["always", "today"]).await;
        set(BEGIN + DAY);
        becomes(&["always", "tomorrow"]).await;
        server.act(UserId(0), like("ahead")).await.unwrap();
        set(BEGIN + 1);
        becomes(&["always", "today"]).await;
        server.act(UserId(0), like("back")).await.unwrap();
        let entries = server.interactions_of_user(UserId(0), None, 10).await.unwrap();
        let times: Vec<_> = entries.iter().rev().map(|(_, entry)| (entry.seq.0, entry.received.0 - BEGIN)).collect();
        assert_eq!(times, [(1, DAY), (2, 1)], "numbers order entries; their times are those of the clock");
        set(BEGIN + hour);
        becomes(&["always", "soon"]).await;
        set(BEGIN + DAY);
        becomes(&["always", "tomorrow"]).await;
        server.close().await;
        // The fold of events that were learned while the clock was ahead equals the snapshot.
        let found = check(store, &Config::default(), clock.now()).await.unwrap();
        assert_eq!(found.wrong, Vec::<String>::new());
    });
}

/// Sends all of these at once, like a batch; answers in their order.
async fn send_all(
    server: &Server,
    person: UserId,
    events: impl Iterator<Item = UserEvent>,
) -> Vec<Result<Seq, Refusal>> {
    let sent = events.map(|event| {
        let server = server.clone();
        actix_web::rt::spawn(async move {
            loop {
                match server.act(person, event.clone()).await.map_err(busy::refusal) {
                    Err(Refusal { retry_after_ms: Some(wait), .. }) => {
                        tokio::time::sleep(Duration::from_millis(wait.into())).await;
                    }
                    answer => break answer,
                }
            }
        })
    });
    let mut answers = Vec::new();
    for one in sent.collect::<Vec<_>>() {
        answers.push(one.await.unwrap());
    }
    answers
}

/// Resends cost no repeated fold, and the ids of a burst share one query to the store.
#[test]
fn a_resend_is_as_fast_as_the_first_time() {
    const EVENTS: u64 = 4_000;
    let directory = tempfile::tempdir().unwrap();
    actix_web::rt::System::new().block_on(async {
        let store = store(directory.path());
        let server = server(store.clone(), Limits::default()).await;
        populate(&server).await;
        let person = UserId(7);
        let all = || (1..=EVENTS).map(|number| event(&format!("event-{number}"), 3));
        let first = send_all(&server, person, all()).await;
        let numbers: std::collections::BTreeSet<u64> = first.iter().map(|answer| answer.clone().unwrap().0).collect();
        assert_eq!(numbers, (1..=EVENTS).collect());
        // A busy machine splits a burst, so the best of several counts.
        let mut least = u64::MAX;
        for _ in 0..5 {
            let (asked, _) = server.look_counts();
            assert_eq!(send_all(&server, person, all()).await, first, "the answers of the first time");
            let (queries, rebuilds) = server.look_counts();
            assert_eq!(rebuilds, 0, "no state was folded again");
            least = least.min(queries - asked);
        }
        assert!(least <= EVENTS / 50, "{least} questions for {EVENTS} ids");
        let model = server.model(person).await.unwrap();
        assert_eq!((model.events, model.labelled), (EVENTS, EVENTS), "nothing was learned twice");
        server.close().await;
        let found = check(store, &Config::default(), WallClock::default().now()).await.unwrap();
        assert_eq!((found.wrong, found.entries), (Vec::<String>::new(), EVENTS));
    });
}

/// The first event of an id decides: a later one under it with other contents is rejected, wherever the first one is.
#[test]
fn a_reused_id_with_other_contents_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let interaction = |id: &str, item, kind, dwell_ms, at| {
        let id = Key::new(id).unwrap();
        UserEvent::Interacted(Interaction {
            id,
            item: ItemId(item),
            kind,
            dwell_ms,
            at,
            shown: None,
            passed: Vec::new(),
        })
    };
    let first = |id: &str| interaction(id, 3, Kind::Watch, Some(1_000), Millis(5_000));
    actix_web::rt::System::new().block_on(async {
        let store = store(directory.path());
        let mut server = server(store.clone(), Limits::default()).await;
        populate(&server).await;
        let person = UserId(7);
        let filler = || (0..300).map(|number| event(&format!("filler-{number}"), 4));
        // In flight: none of these is durable while they are answered.
        let under_way = [first("a"), interaction("a", 3, Kind::Watch, Some(60_000), Millis(5_000)), first("a")];
        let answers = send_all(&server, person, under_way.into_iter()).await;
        assert_eq!((&answers[0], &answers[2]), (&Ok(Seq(1)), &Ok(Seq(1))), "equal contents");
        assert_eq!(
            answers[1].as_ref().unwrap_err().code,
            Code::Conflict,
            "a longer watch under the id of one on its way"
        );
        for place in ["remembered", "older than what is remembered", "after a restart"] {
            if place == "older than what is remembered" {
                assert!(send_all(&server, person, filler()).await.iter().all(Result::is_ok));
            }
            if place == "after a restart" {
                server.close().await;
                server = self::server(store.clone(), Limits::default()).await;
            }
            for (name, sent, good) in [
                ("equal contents", first("a"), true),
                ("without its time", interaction("a", 3, Kind::Watch, Some(1_000), Millis::ON_ARRIVAL), true),
                ("another item", interaction("a", 4, Kind::Watch, Some(1_000), Millis(5_000)), false),
                ("another kind", interaction("a", 3, Kind::Read, Some(1_000), Millis(5_000)), false),
                ("another duration", interaction("a", 3, Kind::Watch, Some(60_000), Millis(5_000)), false),
                ("no duration", interaction("a", 3, Kind::Watch, None, Millis(5_000)), false),
                ("another time", interaction("a", 3, Kind::Watch, Some(1_000), Millis(5_001)), false),
                (
                    "something else altogether",
                    UserEvent::Followed { id: Key::new("a").unwrap(), user: UserId(8), at: Millis::ON_ARRIVAL },
                    false,
                ),
            ] {
                let answer = send_all(&server, person, std::iter::once(sent)).await.pop().unwrap();
                match answer {
                    Ok(seq) => assert!(good && seq == Seq(1), "{name}, {place}: {seq:?}"),
                    Err(refusal) => {
                        assert!(!good && refusal.code == Code::Conflict, "{name}, {place}: {refusal:?}");
                        assert_eq!(refusal.field.as_deref(), Some("id"));
                    }
                }
            }
        }
        let events = server.model(person).await.unwrap().events;
        assert_eq!(events, 301, "a refused event teaches nothing");
        server.close().await;
    });
}
