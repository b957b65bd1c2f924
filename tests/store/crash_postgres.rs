//! Server and database are killed, or stalled, at random moments under load. Nothing acknowledged is lost, nothing is
//! learned twice, and each user's order is kept.
//!
//! Invariant under test: after every round each user's entries are numbered 1, 2, 3, … without gaps. Every accepted
//! event is among them under its accepted number, and snapshots equal the fold of the journal. Seed and rounds:
//! `CRASH_SEED`, `CRASH_ROUNDS`.

use crate::support;

use crate::postgres;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use eddyline::domain::interactions::Kind;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use postgres::Cluster;
use support::socket::Client;
use support::{PATIENCE, Server};

/// Sockets, each of a user of its own.
const PEOPLE: usize = 50;
/// Target rate in events per second over all users.
const RATE: u64 = 2_500;
/// Duration of the load in a round.
const LOAD: Duration = Duration::from_millis(800);
/// Rounds with one set of users.
const GENERATION: usize = 10;

const KINDS: [Kind; 5] = [Kind::Like, Kind::Click, Kind::Skip, Kind::View, Kind::Share];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillServer,
    KillPostgres,
    KillBoth,
    StallPostgres,
    KillSessions,
}

const FAULTS: [Fault; 5] =
    [Fault::KillServer, Fault::KillPostgres, Fault::KillBoth, Fault::StallPostgres, Fault::KillSessions];

#[derive(Default)]
struct Past {
    sent: BTreeMap<String, ()>,
    accepted: BTreeMap<String, u64>,
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn nothing_acknowledged_is_lost_whatever_is_killed() {
    if postgres::skipped() {
        println!("skipped: EDDYLINE_TEST_POSTGRES=skip");
        return;
    }
    let seed = number("CRASH_SEED", support::now_ms() as u64);
    let rounds = number("CRASH_ROUNDS", 50) as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    println!("seed {seed}, {rounds} rounds, {PEOPLE} sockets, {RATE} events/s asked for, for {} ms", LOAD.as_millis());
    println!("round  fault           after    sent/s   sent  accepted  stored  restored");

    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    let url = cluster.url(&database);
    let mut server = Server::start_on(tempfile::TempDir::new().unwrap(), url.clone());
    server.items(20);
    let mut pasts: BTreeMap<String, Past> = BTreeMap::new();
    for round in 0..rounds {
        let people: Vec<String> = (0..PEOPLE).map(|n| format!("p-{}-{n}", round / GENERATION)).collect();
        if round % GENERATION == 0 {
            server.people(&people.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let fault = FAULTS[round % FAULTS.len()];
        let after = Duration::from_millis(rng.random_range(50..700));
        let (back, restored, sent_in_round) =
            run_round(server, (&cluster, &url), &people, round, fault, after, &mut rng, &mut pasts);
        server = back;

        let stored = check_people(&cluster, &database, &people, &pasts);
        let of_these = |count: fn(&Past) -> usize| people.iter().map(|person| count(&pasts[person])).sum::<usize>();
        let (sent, accepted) = (of_these(|past| past.sent.len()), of_these(|past| past.accepted.len()));
        println!(
            "{:>5}  {:<14} {:>4} ms  {:>6.0}  {sent:>5}  {accepted:>8}  {stored:>6}  {:>5} ms",
            round + 1,
            format!("{fault:?}"),
            after.as_millis(),
            sent_in_round as f64 / LOAD.as_secs_f64(),
            restored.as_millis(),
        );
    }
    let directory = server.kill();
    drop(directory);
    let (status, said) = support::run(&["db", "check", "--store", &url]);
    assert_eq!(status, Some(0), "eddyline db check: {said}");
    print!("{said}");
}

/// All users act; at `after` something breaks. Returns the running server, and the time until it was running again.
#[allow(clippy::too_many_arguments, reason = "one call site passes the whole round")]
fn run_round(
    server: Server,
    (cluster, url): (&Cluster, &str),
    people: &[String],
    round: usize,
    fault: Fault,
    after: Duration,
    rng: &mut ChaCha8Rng,
    pasts: &mut BTreeMap<String, Past>,
) -> (Server, Duration, u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let address = server.address();
    let clients: Vec<_> = runtime.block_on(async {
        let mut clients = Vec::new();
        for person in people {
            clients.push((person.clone(), Client::hello(address, person).await));
        }
        clients
    });
    let acts: Vec<_> = clients
        .into_iter()
        .map(|(person, client)| {
            let sent = sent.clone();
            let rng = ChaCha8Rng::seed_from_u64(rng.random());
            runtime.spawn(async move { (person, act(client, round, rng, &sent).await) })
        })
        .collect();

    std::thread::sleep(after);
    let broke = Instant::now();
    let mut survivor = Some(server);
    let mut directory = None;
    match fault {
        Fault::KillServer => directory = survivor.take().map(Server::kill),
        Fault::KillPostgres => {
            cluster.kill();
            std::thread::sleep(Duration::from_millis(rng.random_range(0..300)));
            cluster.run();
        }
        Fault::KillBoth => {
            cluster.kill();
            directory = survivor.take().map(Server::kill);
            cluster.run();
        }
        Fault::StallPostgres => {
            cluster.freeze();
            std::thread::sleep(Duration::from_millis(rng.random_range(200..1_500)));
            cluster.thaw();
        }
        Fault::KillSessions => {
            let others =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'eddyline%'";
            cluster.sql("postgres", others);
        }
    }
    let server = match (survivor, directory) {
        (Some(server), _) => {
            // It recovers by itself: everything sent is answered in the end.
            let begin = Instant::now();
            while server.rest().get("/ready").status != 200 {
                assert!(begin.elapsed() < PATIENCE, "it does not come back; log:\n{}", server.log());
                std::thread::sleep(Duration::from_millis(10));
            }
            server
        }
        (None, directory) => Server::start_on(directory.unwrap(), url.to_owned()),
    };
    let restored = broke.elapsed();
    std::thread::sleep(LOAD.saturating_sub(after));
    runtime.block_on(async {
        for act in acts {
            let (person, heard) = act.await.expect("a simulated person");
            let past = pasts.entry(person).or_default();
            past.sent.extend(heard.sent);
            past.accepted.extend(heard.accepted);
        }
    });
    (server, restored, sent.load(SeqCst))
}

/// One user, at its share of the rate, until the load is over; then waits for missing answers while the connection
/// holds.
async fn act(mut client: Client, round: usize, mut rng: ChaCha8Rng, sent: &AtomicU64) -> Past {
    let mut past = Past::default();
    let pause = Duration::from_secs_f64(PEOPLE as f64 / RATE as f64);
    let begin = Instant::now();
    let mut event = 0_u32;
    let mut line_holds = true;
    while line_holds && begin.elapsed() < LOAD {
        let due = pause * event;
        while let Some(wait) = due.checked_sub(begin.elapsed()).filter(|wait| !wait.is_zero()) {
            client.next_message(wait).await;
        }
        let id = format!("r{round}-{event}");
        let item = format!("item-{}", rng.random_range(0..20));
        past.sent.insert(id.clone(), ());
        line_holds = client.try_interact_as(&id, &item, KINDS[rng.random_range(0..KINDS.len())]).await;
        event += 1;
        sent.fetch_add(1, SeqCst);
    }
    // While the connection holds, everything is accepted in the end: the client resends events that met `busy`.
    let begin = Instant::now();
    while client.accepted().len() < past.sent.len() && begin.elapsed() < PATIENCE {
        let asked = Instant::now();
        if client.next_message(Duration::from_secs(1)).await.is_none() && asked.elapsed() < Duration::from_millis(900) {
            break;
        }
    }
    past.accepted = client.into_accepted();
    past
}

/// Reads the database directly: each user's numbers have no gaps, and accepted events are there under theirs.
fn check_people(cluster: &Cluster, database: &str, people: &[String], pasts: &BTreeMap<String, Past>) -> usize {
    let rows = cluster.sql(
        database,
        "SELECT u.key || ' ' || j.seq || ' ' || j.event_id FROM journal j JOIN users u ON u.id = j.user_id ORDER BY j.position",
    );
    let mut stored: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for row in &rows {
        let mut words = row.splitn(3, ' ');
        let (key, seq, id) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        stored.entry(key).or_default().push((seq.parse().unwrap(), id));
    }
    let mut total = 0;
    for person in people {
        let entries = stored.remove(person.as_str()).unwrap_or_default();
        total += entries.len();
        for (expected, (seq, id)) in (1..).zip(&entries) {
            assert_eq!(*seq, expected, "{person}: commit order is their order, without gaps, at {id}");
        }
        let by_id: BTreeMap<&str, u64> = entries.iter().map(|(seq, id)| (*id, *seq)).collect();
        assert_eq!(by_id.len(), entries.len(), "{person}: nothing twice");
        let past = &pasts[person];
        for (id, seq) in &past.accepted {
            assert_eq!(by_id.get(id.as_str()), Some(seq), "{person}: {id} was accepted as {seq}");
        }
        for id in by_id.keys() {
            assert!(past.sent.contains_key(*id), "{person}: {id} was never sent");
        }
    }
    total
}
