//! When Postgres is down, dies, stalls, rejects or goes read-only, the server goes on. Accepted events are written
//! after its return, in order, once. Events that cannot be kept are rejected before they are learned.

use crate::support;

use crate::postgres;

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eddyline::domain::interactions::Kind;
use eddyline::protocol::client::{ClientMessage, Ping};
use eddyline::protocol::server::ServerMessage;

use postgres::Cluster;
use support::rest::Rest;
use support::socket::Client;
use support::{PATIENCE, Server, block_on};
use tempfile::TempDir;

/// A server on a Postgres of its own, with a user and some items.
fn on_postgres(variables: &[(&str, &str)]) -> Option<(Cluster, String, Server)> {
    if postgres::skipped() {
        println!("skipped: EDDYLINE_TEST_POSTGRES=skip");
        return None;
    }
    let cluster = Cluster::start(&["max_connections=30"]);
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

/// Event ids in the order of their numbers.
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

/// While the database is away, a like re-ranks at once and is not accepted; after its return it is accepted.
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
    let log = waits_for(&cluster, &database, || cluster.stop(), || cluster.run());
    assert!(log.contains("waiting for the database"), "a clear message: {log}");
}

#[test]
fn it_waits_for_a_database_that_has_no_connection_left_at_start() {
    if postgres::skipped() {
        return;
    }
    let cluster = Cluster::start(&["max_connections=20"]);
    let database = cluster.database();
    let mut hogs = None;
    let hogging = std::sync::Mutex::new(&mut hogs);
    let log = waits_for(
        &cluster,
        &database,
        || **hogging.lock().unwrap() = Some(Hogs::take_all(&cluster, "postgres")),
        || drop(hogging.lock().unwrap().take()),
    );
    assert!(log.contains("no connection left"), "what to do: {log}");
}

/// Starts a server while the database is away; returns its log until it was ready and after.
fn waits_for(cluster: &Cluster, database: &str, away: impl FnOnce(), back: impl FnOnce()) -> String {
    away();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut child = Command::new(crate::support::program())
        .args(["serve", "--store", &cluster.url(database), "--listen", &address.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = || std::net::TcpStream::connect(address).is_ok().then(|| Rest::new(address).get("/ready").status);
    until("/ready to say no", || ready() == Some(503));
    back();
    until("/ready to say yes", || ready() == Some(200));
    child.kill().unwrap();
    let said = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!log.contains("not-to-be-shown"), "no password in the log: {log}");
    log
}

/// No process listens at the database's address: a waiting server ends in order on SIGTERM.
#[test]
fn a_server_that_waits_for_its_database_ends_in_order() {
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut child = Command::new(crate::support::program())
        .args(["serve", "--store", &format!("postgres://ada@{nowhere}/none"), "--listen", &address.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready = || std::net::TcpStream::connect(address).is_ok().then(|| Rest::new(address).get("/ready").status);
    until("/ready to say no", || ready() == Some(503));
    support::terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Unstored events delay the end of a server for a bounded time only.
#[test]
fn a_server_whose_database_is_frozen_ends_in_time() {
    let Some((cluster, _database, server)) = on_postgres(&[]) else { return };
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let first = ada.interact("item-1", Kind::Like).await;
        ada.wait_accepted(&first).await;
        cluster.freeze();
        ada.interact("item-2", Kind::Like).await;
        // Messages are taken in their order: with the answer to a later one, the interaction is on its way to the store.
        ada.send(&ClientMessage::Ping(Ping { tag: Default::default(), t: 7 })).await;
        let is_pong = |message: &ServerMessage| matches!(message, ServerMessage::Pong(pong) if pong.t == 7);
        ada.wait("pong", |client| client.heard.iter().any(is_pong)).await;
    });
    let (status, _directory) = server.terminate();
    assert_eq!(status, Some(1), "what was not stored is a failure");
    cluster.thaw();
}

/// A database that an earlier program's `db migrate` left when it was killed between a migration and its version. Also
/// one in which a foreign table has a conflicting name.
#[test]
fn a_database_that_an_earlier_program_left_half_way_is_completed() {
    if postgres::skipped() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let migrate = |database: &str| support::run(&["db", "migrate", "--store", &cluster.url(database)]);
    for version in 1..=7 {
        let database = cluster.database();
        assert_eq!(migrate(&database).0, Some(0));
        cluster.sql(&database, "INSERT INTO users (id, key, partition, created) VALUES (0, 'ada', 1, now())");
        // Undoes later migrations, and deletes the version of this one.
        for later in (version + 1..=UNDO.len()).rev() {
            cluster.sql(&database, UNDO[later - 1]);
        }
        cluster.sql(&database, &format!("DELETE FROM refinery_schema_history WHERE version >= {version}"));
        let (status, said) = migrate(&database);
        assert_eq!(status, Some(0), "half-way in {version}: {said}");
        assert_eq!(cluster.sql(&database, "SELECT key FROM users"), ["ada"], "half-way in {version}");
        assert_eq!(cluster.sql(&database, "SELECT COUNT(*) FROM refinery_schema_history"), [UNDO.len().to_string()]);
    }
    let database = cluster.database();
    cluster.sql(&database, "CREATE TABLE users (id bigint, telephone text)");
    let (status, said) = migrate(&database);
    assert_eq!(status, Some(1), "{said}");
    assert_eq!(cluster.sql(&database, "SELECT COUNT(*) FROM refinery_schema_history"), ["0"], "left alone");
}

/// Statements that undo each migration after the first.
const UNDO: [&str; 13] = [
    "",
    "ALTER TABLE users DROP COLUMN erased; DROP INDEX follows_by_target; DROP TABLE changes",
    "DROP TABLE keys; DROP TABLE tokens",
    "ALTER TABLE journal DROP COLUMN lesson",
    "DROP TABLE slates",
    "DROP TABLE cluster_fits",
    "DROP TABLE models; DROP TABLE model_publications",
    "ALTER TABLE items DROP COLUMN attributes",
    "DROP TABLE metrics",
    "DROP TABLE clusterings; DROP TABLE cluster_names; DROP TABLE clustering_fits; CREATE TABLE cluster_fits (\
     epoch bigint PRIMARY KEY, fitted_at timestamptz NOT NULL, summary text NOT NULL, state bytea NOT NULL, members bytea)",
    "DROP INDEX journal_cancelled; DROP INDEX journal_standing; ALTER TABLE journal DROP COLUMN cancelled_by",
    "DROP TABLE item_words",
    "DROP TABLE activities; DROP TABLE activity_entries; DROP TABLE feed_follows; DROP TABLE reactions; \
     DROP TABLE reaction_counts; DROP TABLE feed_objects; DROP TABLE feed_marks",
];

/// Killed at random moments, `db migrate` leaves a state that the next one continues from. Rounds:
/// `EDDYLINE_TEST_KILL_ROUNDS`.
#[test]
fn a_migration_that_is_killed_at_any_moment_is_gone_on_with() {
    use rand::{RngExt as _, SeedableRng as _};
    if postgres::skipped() {
        return;
    }
    let rounds = std::env::var("EDDYLINE_TEST_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12_u32);
    let cluster = Cluster::start(&[]);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(u64::from(std::process::id()));
    let mut found = [0; UNDO.len() + 1];
    for round in 0..rounds {
        let database = cluster.database();
        let store = cluster.url(&database);
        let mut child = Command::new(crate::support::program())
            .args(["db", "migrate", "--store", &store])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.random_range(5_000..150_000)));
        let _ = child.kill();
        child.wait().unwrap();
        // Its last transaction may still be in progress.
        let there = "SELECT COUNT(*) FROM pg_tables WHERE tablename = 'refinery_schema_history'";
        if cluster.sql(&database, there) == ["1"] {
            let version = cluster.sql(&database, "SELECT COALESCE(MAX(version), 0) FROM refinery_schema_history");
            found[version[0].parse::<usize>().unwrap()] += 1;
        }
        let (status, said) = support::run(&["db", "migrate", "--store", &store]);
        assert_eq!(status, Some(0), "round {round}: {said}");
        assert!(!said.contains("half-way"), "round {round}: this program leaves nothing half-way");
    }
    println!("versions after the kill, of {rounds}: {found:?}");
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

#[test]
fn it_goes_on_while_the_database_has_no_connection_left() {
    let Some((cluster, database, server)) = on_postgres(&[]) else { return };
    let hogs = std::sync::Mutex::new(None);
    let away = || {
        *hogs.lock().unwrap() = Some(Hogs::take_all(&cluster, &database));
        // The answer contains the cause and the remedy, for the operator.
        until("/ready to say why", || server.rest().get("/ready").body.contains("max_connections"));
    };
    goes_on_without(&cluster, &database, &server, away, || drop(hogs.lock().unwrap().take()));
}

/// Holds every connection of a cluster until dropped.
struct Hogs {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Hogs {
    /// Ends all sessions of a database, takes the free connections, and each one that becomes free.
    fn take_all(cluster: &Cluster, database: &str) -> Hogs {
        let (url, database) = (cluster.url("postgres"), database.to_owned());
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (told, full) = std::sync::mpsc::channel();
        let stopped = stop.clone();
        let work = async move {
            let mut taken = Vec::new();
            let mut ended = false;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
                    Ok((client, connection)) => {
                        tokio::spawn(connection);
                        taken.push(client);
                    }
                    Err(_) => {
                        // None is left: terminates the server's sessions repeatedly, should it reconnect faster.
                        let sql = format!(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
                        );
                        if database != "postgres" {
                            taken[0].batch_execute(&sql).await.unwrap();
                        }
                        if !std::mem::replace(&mut ended, true) {
                            told.send(()).unwrap();
                        }
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        };
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        });
        full.recv().unwrap();
        Hogs { stop, thread: Some(thread) }
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Through PgBouncer, which is killed and started again meanwhile: every accepted event is stored.
#[test]
fn it_works_through_a_pooler_that_keeps_sessions() {
    if postgres::skipped() {
        println!("skipped: EDDYLINE_TEST_POSTGRES=skip");
        return;
    }
    let Some(program) = Bouncer::program() else {
        println!("skipped: no pgbouncer");
        return;
    };
    let cluster = Cluster::start(&[]);
    let database = cluster.database();
    let bouncer = Bouncer::new(&program, &cluster);
    bouncer.run();
    let server = Server::start_on(TempDir::new().unwrap(), bouncer.url(&cluster, &database));
    server.people(&["ada"]);
    server.items(12);
    goes_on_without(&cluster, &database, &server, || bouncer.kill(), || bouncer.run());
    // All of it went through the pooler: the database has no other connections.
    let clients = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let names = cluster.sql(&database, clients);
    assert!(names.iter().all(|name| name.contains(&server.process().to_string())), "{names:?}");
    let (after, rest) = (cluster.sql(&database, "SELECT COUNT(*) FROM journal"), server.rest());
    drop(rest);
    // The server's shutdown releases the writer's lock through the pooler: the next server need not wait long.
    let again = Server::start_on(server.kill(), bouncer.url(&cluster, &database));
    let model = again.rest().get("/v1/users/ada/model").success("the model").json();
    assert_eq!(model["events"].to_string(), after[0], "learned from what is there");
}

/// A private PgBouncer in front of a cluster.
struct Bouncer {
    program: std::path::PathBuf,
    directory: TempDir,
    port: u16,
    child: std::sync::Mutex<Option<std::process::Child>>,
}

impl Bouncer {
    fn program() -> Option<std::path::PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        places.map(|place| place.join("pgbouncer")).find(|program| program.is_file())
    }

    fn new(program: &std::path::Path, cluster: &Cluster) -> Bouncer {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = TempDir::new().unwrap();
        let url = cluster.url("any");
        let (user, password) =
            url.trim_start_matches("postgres://").split_once('@').unwrap().0.split_once(':').unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={user} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = session\ndefault_pool_size = 40\nmax_client_conn = 100\n",
            cluster.port()
        );
        std::fs::write(directory.path().join("pgbouncer.ini"), settings).unwrap();
        for path in [directory.path().to_owned(), directory.path().join("pgbouncer.ini")] {
            cluster.give(&path);
        }
        Bouncer { program: program.to_owned(), directory, port, child: std::sync::Mutex::default() }
    }

    fn run(&self) {
        use std::os::unix::fs::MetadataExt as _;
        use std::os::unix::process::CommandExt as _;
        let owner = std::fs::metadata(self.directory.path()).unwrap();
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let mut command = Command::new(&self.program);
        // It refuses to run as root, like Postgres.
        command.uid(owner.uid()).gid(owner.gid()).arg(self.directory.path().join("pgbouncer.ini"));
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        *self.child.lock().unwrap() = Some(child);
        until("the pooler to listen", || {
            let ended = self.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
            let log = || std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "pgbouncer ended: {}", log());
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn url(&self, cluster: &Cluster, database: &str) -> String {
        cluster.url(database).replace(&format!(":{}/", cluster.port()), &format!(":{}/", self.port))
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn end_sessions(cluster: &Cluster, database: &str) {
    let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    cluster.sql("postgres", &sql);
}

/// The queue is bounded: beyond it the server answers `busy` before it learns, and loses no accepted event.
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
