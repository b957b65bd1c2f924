//! When Postgres is down, dies, stalls, refuses or goes read-only, people go on being served; what was accepted is
//! written when it is back, in order, once; what cannot be kept is refused before it is learned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

#[path = "support/postgres.rs"]
mod postgres;

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eddyline::domain::interactions::Kind;

use postgres::Cluster;
use support::rest::Rest;
use support::socket::Client;
use support::{PATIENCE, Server, block_on};

/// A server on a Postgres of its own with a person and some items.
fn on_postgres(variables: &[(&str, &str)]) -> Option<(Cluster, String, Server)> {
    if postgres::skipped() {
        println!("skipped: EDDYLINE_TEST_POSTGRES=skip");
        return None;
    }
    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    let server = Server::start_on_with(tempfile::TempDir::new().unwrap(), cluster.url(&database), variables);
    server.people(&["ada"]);
    server.items(12);
    Some((cluster, database, server))
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ids in the order in which they are numbered.
fn numbered(cluster: &Cluster, database: &str) -> Vec<String> {
    let rows = cluster.sql(database, "SELECT seq || ' ' || event_id FROM journal ORDER BY position");
    rows.iter()
        .zip(1_u64..)
        .map(|(row, expected)| {
            let (seq, id) = row.split_once(' ').unwrap();
            assert_eq!(seq.parse::<u64>().unwrap(), expected, "numbers without gaps, in commit order");
            id.to_owned()
        })
        .collect()
}

/// While the database is away: a like re-ranks at once and is not accepted; when it is back, it is.
fn goes_on_without(cluster: &Cluster, database: &str, server: &Server, away: impl FnOnce(), back: impl FnOnce()) {
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let first = ada.interact("item-1", Kind::Like).await;
        ada.wait_accepted(&first).await;
        away();
        let mut ids = vec![first];
        for number in 2..8 {
            let feeds = ada.feeds();
            let id = ada.interact(&format!("item-{number}"), Kind::Like).await;
            ada.wait("the feed after it, from memory", |client| client.feeds() > feeds).await;
            ids.push(id);
        }
        assert!(ids[1..].iter().all(|id| !ada.accepted().contains_key(id)), "nothing is accepted that is not durable");
        assert_eq!(server.rest().get("/health").status, 200, "it lives");
        until("/ready to say no", || server.rest().get("/ready").status == 503);
        assert!(!server.rest().feed("ada", "limit=5").is_empty(), "REST is served from memory, too");
        back();
        for (id, seq) in ids.iter().zip(1_u64..) {
            assert_eq!(ada.wait_accepted(id).await, seq);
        }
        until("/ready to say yes", || server.rest().get("/ready").status == 200);
        assert_eq!(numbered(cluster, database), ids, "all of it, in order, once");
    });
}

#[test]
fn it_waits_for_a_database_that_is_down_at_start() {
    if postgres::skipped() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    cluster.stop();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_eddyline"))
        .args(["serve", "--store", &cluster.url(&database), "--listen", &address.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = || std::net::TcpStream::connect(address).is_ok().then(|| Rest::new(address).get("/ready").status);
    until("/ready to say no", || ready() == Some(503));
    cluster.run();
    until("/ready to say yes", || ready() == Some(200));
    child.kill().unwrap();
    let said = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(log.contains("waiting for the database"), "a clear message: {log}");
    assert!(!log.contains("not-to-be-shown"), "no password in the log: {log}");
}

#[test]
fn it_goes_on_while_the_database_is_dead() {
    let Some((cluster, database, server)) = on_postgres(&[]) else { return };
    goes_on_without(&cluster, &database, &server, || cluster.kill(), || cluster.run());
}

#[test]
fn it_goes_on_while_the_database_is_stopped_in_good_order() {
    let Some((cluster, database, server)) = on_postgres(&[]) else { return };
    goes_on_without(&cluster, &database, &server, || cluster.stop(), || cluster.run());
}

#[test]
fn it_goes_on_while_the_database_stalls() {
    let Some((cluster, database, server)) = on_postgres(&[]) else { return };
    goes_on_without(&cluster, &database, &server, || cluster.freeze(), || cluster.thaw());
}

#[test]
fn it_goes_on_while_the_database_is_read_only() {
    let Some((cluster, database, server)) = on_postgres(&[]) else { return };
    let set = |value: &str| {
        cluster.sql("postgres", &format!("ALTER DATABASE {database} SET default_transaction_read_only = {value}"));
        end_sessions(&cluster, &database);
    };
    goes_on_without(&cluster, &database, &server, || set("on"), || set("off"));
}

#[test]
fn it_goes_on_while_the_database_refuses_connections() {
    let Some((cluster, database, server)) = on_postgres(&[]) else { return };
    let allow = |value: &str| {
        cluster.sql("postgres", &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {value}"));
        end_sessions(&cluster, &database);
    };
    goes_on_without(&cluster, &database, &server, || allow("false"), || allow("true"));
}

fn end_sessions(cluster: &Cluster, database: &str) {
    let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    cluster.sql("postgres", &sql);
}

/// The queue has an end: beyond it the server says `busy` before it learns, and nothing that it accepted is lost.
#[test]
fn beyond_its_queue_it_is_busy_before_it_learns() {
    let Some((cluster, database, server)) = on_postgres(&[("EDDYLINE_LIMITS__JOURNAL_QUEUE", "32")]) else { return };
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let first = ada.interact("item-1", Kind::Like).await;
        ada.wait_accepted(&first).await;
        cluster.freeze();
        let post = |number: usize| {
            let body =
                serde_json::json!({"id": format!("post-{number}"), "user": "ada", "item": "item-2", "kind": "click"});
            move |rest: Rest| rest.post("/v1/interactions", &body)
        };
        // Each waits for its answer, so they come from threads of their own.
        let asked: Vec<_> = (0..96)
            .map(|number| {
                let (rest, post) = (server.rest(), post(number));
                std::thread::spawn(move || post(rest))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(1_500));
        cluster.thaw();
        let answers: Vec<_> = asked.into_iter().map(|asked| asked.join().unwrap()).collect();
        let busy = answers.iter().filter(|answer| answer.status == 503).count();
        let accepted = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(busy > 0 && accepted > 0 && busy + accepted == 96, "{busy} busy, {accepted} accepted");
        assert!(
            answers.iter().filter(|answer| answer.status == 503).all(|answer| answer.header("retry-after").is_some())
        );
        let stored = numbered(&cluster, &database).len();
        assert_eq!(stored, 1 + accepted, "what was refused was not learned, what was accepted is there");
        let model = server.rest().get("/v1/users/ada/model").success("the model").json();
        assert_eq!(model["events"], stored);
    });
}
