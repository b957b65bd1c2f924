//! `kill -9` at random moments: every accepted event is there afterwards, once, under its number.
//!
//! Invariant: a user's numbers are 1, 2, 3, … without gaps after every crash, also for stored events whose answer was
//! lost. Seed and rounds: `CRASH_SEED`, `CRASH_ROUNDS`.

use crate::support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use eddyline::domain::interactions::Kind;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use support::socket::Client;
use support::{PATIENCE, Server};

/// Users that act concurrently.
const PEOPLE: usize = 6;
/// Events of one user in one round.
const EVENTS: usize = 18;
/// Rounds with one set of users; their events stay below the 100 that one request lists.
const GENERATION: usize = 5;

const KINDS: [Kind; 5] = [Kind::Like, Kind::Click, Kind::Skip, Kind::View, Kind::Share];

/// A client's record of its own events.
#[derive(Clone, Debug, Default)]
struct Past {
    /// Every sent id, with its item and kind.
    sent: BTreeMap<String, (String, Kind)>,
    /// Accepted ids and their numbers.
    accepted: BTreeMap<String, u64>,
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn what_was_accepted_survives_kill_9() {
    let seed = number("CRASH_SEED", support::now_ms() as u64);
    let rounds = number("CRASH_ROUNDS", 24) as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    println!("seed {seed}, {rounds} rounds, {PEOPLE} people, {EVENTS} events each per round");
    println!("round   killed after   sent   accepted   stored   restart   kills");

    let mut server = support::server();
    server.items(20);
    let mut pasts: BTreeMap<String, Past> = BTreeMap::new();
    for round in 0..rounds {
        let people: Vec<String> = (0..PEOPLE).map(|n| format!("p-{}-{n}", round / GENERATION)).collect();
        server.people(&people.iter().map(String::as_str).collect::<Vec<_>>());

        // Not at the very end, so that some events are always in flight.
        let kill_at = rng.random_range(1..PEOPLE * EVENTS * 9 / 10);
        let begin = Instant::now();
        let (directory, heard) = act_and_kill(server, &people, round, kill_at, &mut rng);
        let killed_after = begin.elapsed();
        for (person, past) in heard {
            let all = pasts.entry(person).or_default();
            all.sent.extend(past.sent);
            all.accepted.extend(past.accepted);
        }

        let mut kills = 1;
        if round % 3 == 1 {
            // Killed again while it starts: recovery itself may be interrupted.
            support::start_and_kill(directory.path(), Duration::from_millis(rng.random_range(0..40)));
            kills += 1;
        }
        if round % 4 == 3 {
            check_store(&support::store(directory.path()));
        }
        let begin = Instant::now();
        server = Server::start(directory);
        let restart = begin.elapsed();

        let of_these = |count: fn(&Past) -> usize| people.iter().map(|person| count(&pasts[person])).sum::<usize>();
        let (sent, accepted) = (of_these(|past| past.sent.len()), of_these(|past| past.accepted.len()));
        let mut stored = 0;
        for person in &people {
            stored += check_person(&server, person, pasts.get_mut(person).unwrap());
        }
        println!(
            "{:>5}   {:>9} ms   {sent:>4}   {accepted:>8}   {stored:>6}   {:>4} ms   {kills:>5}",
            round + 1,
            killed_after.as_millis(),
            restart.as_millis(),
        );
    }

    // Once more for all users, also those of early rounds.
    for (person, past) in &mut pasts {
        check_person(&server, person, past);
    }
    let snapshots = check_store(&support::store(server.kill().path()));
    assert!(snapshots > 0, "live states were saved and compared with the journal");
}

/// All users act at once; the server is killed when `kill_at` events were accepted.
fn act_and_kill(
    server: Server,
    people: &[String],
    round: usize,
    kill_at: usize,
    rng: &mut ChaCha8Rng,
) -> (tempfile::TempDir, Vec<(String, Past)>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let mut acting = Vec::new();
    for (index, person) in people.iter().enumerate() {
        let client = runtime.block_on(Client::hello(server.address(), person));
        // Some send everything at once, others wait for each answer.
        let patient = index % 2 == 0;
        let rng = ChaCha8Rng::seed_from_u64(rng.random());
        acting.push((person.clone(), client, patient, rng));
    }
    let mut acts = Vec::new();
    for (person, client, patient, rng) in acting {
        let counted = accepted.clone();
        acts.push(runtime.spawn(async move { (person, act(client, patient, round, rng, &counted).await) }));
    }
    let begin = Instant::now();
    while accepted.load(SeqCst) < kill_at && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_micros(100));
    }
    std::thread::sleep(Duration::from_micros(rng.random_range(0..2_000)));
    let directory = server.kill();
    let heard = runtime.block_on(async {
        let mut heard = Vec::new();
        for act in acts {
            heard.push(act.await.expect("a simulated person"));
        }
        heard
    });
    (directory, heard)
}

async fn act(mut client: Client, patient: bool, round: usize, mut rng: ChaCha8Rng, counted: &AtomicUsize) -> Past {
    let mut past = Past::default();
    let mut before = 0;
    let mut count = |client: &Client| {
        counted.fetch_add(client.accepted().len() - before, SeqCst);
        before = client.accepted().len();
    };
    for event in 0..EVENTS {
        let id = format!("r{round}-{event}");
        let item = format!("item-{}", rng.random_range(0..20));
        let kind = KINDS[rng.random_range(0..KINDS.len())];
        past.sent.insert(id.clone(), (item.clone(), kind));
        if !client.try_interact_as(&id, &item, kind).await {
            break;
        }
        while patient && !client.accepted().contains_key(&id) {
            if client.next_message(PATIENCE).await.is_none() {
                break;
            }
            count(&client);
        }
    }
    // A client that is done stays connected until the kill.
    while client.next_message(PATIENCE).await.is_some() {
        count(&client);
    }
    past.accepted = client.into_accepted();
    past
}

/// The stored events of a user agree with the client's record; returns their number.
fn check_person(server: &Server, person: &str, past: &mut Past) -> usize {
    let history = server.rest().history(person);
    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    for row in &history {
        let id = row["id"].as_str().unwrap_or_else(|| panic!("an interaction without `id`: {row}"));
        *stored.entry(id.to_owned()).or_default() += 1;
    }
    for (id, times) in &stored {
        assert_eq!(*times, 1, "{person}: {id} is stored {times} times");
        assert!(past.sent.contains_key(id), "{person}: {id} was never sent");
    }
    for id in past.accepted.keys() {
        assert!(stored.contains_key(id), "{person}: {id} was accepted and is lost");
    }
    let mut numbers: Vec<u64> = history.iter().filter_map(|row| row["seq"].as_u64()).collect();
    if !numbers.is_empty() {
        numbers.reverse();
        let expected: Vec<u64> = (1..=history.len() as u64).collect();
        assert_eq!(numbers, expected, "{person}: newest first, without gaps");
    }

    // Resent events that are stored get their former answers, and only the rest is new.
    let answers = support::block_on(async {
        let mut client = Client::hello(server.address(), person).await;
        // A few at a time: the burst limit has a test of its own.
        let ids: Vec<&String> = stored.keys().collect();
        let mut resent = 0;
        for some in ids.chunks(8) {
            for id in some {
                let (item, kind) = &past.sent[*id];
                client.interact_as(id, item, *kind).await;
            }
            resent += some.len();
            client.wait("all resends to be answered", |client| client.accepted().len() == resent).await;
        }
        client.into_accepted()
    });
    for (id, seq) in &past.accepted {
        assert_eq!(answers.get(id), Some(seq), "{person}: {id} has another number than before");
    }
    let mut numbers: Vec<u64> = answers.values().copied().collect();
    numbers.sort_unstable();
    let expected: Vec<u64> = (1..=stored.len() as u64).collect();
    assert_eq!(numbers, expected, "{person}: consecutive, without gaps");
    assert_eq!(server.rest().history(person).len(), stored.len(), "{person}: resends store nothing");
    let model = server.rest().get(&format!("/v1/users/{person}/model")).success("the model").json();
    assert_eq!(model["events"], stored.len(), "{person}: learned once each: {model}");
    // From now on these numbers are known, and must never change.
    past.accepted = answers;
    stored.len()
}

/// Snapshots come from live states: each must equal the fold of the journal. Returns their number.
fn check_store(store: &str) -> u64 {
    let (status, said) = support::run(&["db", "check", "--store", store]);
    assert_eq!(status, Some(0), "eddyline db check --store {store}: {said}");
    let words: Vec<&str> = said.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "snapshots").expect("how many snapshots");
    words[at - 1].parse().expect("a number")
}
