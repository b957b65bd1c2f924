//! Guarantees specific to the Postgres store, and its behaviour when Postgres misbehaves.
//!
//! Invariant: a case that harms a cluster has one of its own. Every appender repeats an identical batch until it is
//! answered, like the server, and accepts only `Stored`: a repetition that is reported as a duplicate would make a user
//! learn twice.
//! Deliberately absent: kills of the server itself, speed.

#![cfg(unix)]

mod faults;
use crate::postgres;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eddyline::domain::ids::{ItemId, Key, Position, Seq, TopicId, UserId};
use eddyline::domain::interactions::{Kind, Signal};
use eddyline::domain::items::{Embedding, Item};
use eddyline::domain::journal::{CentreRef, Entry, Learned, Predicted, What};
use eddyline::domain::people::{Erasure, Person};
use eddyline::domain::time::Millis;
use eddyline::domain::windows::Windows;
use eddyline::store::postgres::{Postgres, PostgresSettings, PostgresUrl, schema};
use eddyline::store::{Outcome, Store, StoreError, Write};
use postgres::{Cluster, shared, skipped};
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const USERS: u32 = 24;

/// Timeout of a test until enough has happened; a slow machine needs more rounds.
const PATIENCE: Duration = Duration::from_secs(90);

fn url(text: &str) -> PostgresUrl {
    PostgresUrl::parse(text).unwrap()
}

/// Short waits: the cases make Postgres fail on purpose.
fn impatient() -> PostgresSettings {
    PostgresSettings {
        connections_max: 4,
        connect_ms: 500,
        statement_ms: 300,
        lock_wait_ms: 500,
        ..PostgresSettings::default()
    }
}

async fn open(text: &str, settings: &PostgresSettings) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(Postgres::open(&url(text), settings).await?))
}

fn entry(user: u32, seq: u64) -> Entry {
    let what = if seq.is_multiple_of(5) {
        What::Followed(UserId(u32::try_from(seq).unwrap()))
    } else {
        What::Interacted(Learned {
            item: ItemId(user % 7),
            revision: 1,
            kind: Kind::Like,
            dwell_ms: None,
            shown: None,
            signal: Some(Signal { positive: true, weight: 1.0 }),
            topics: vec![TopicId(1)],
            centre: CentreRef::NONE,
            features: vec![seq as f32, f32::NAN],
            predicted: Predicted { online: 0.0, topics: 0.0, model: 0.0, model_version: None },
            example: None,
            liked_at: None,
        })
    };
    let id = Key::new(&format!("{user}-{seq}")).unwrap();
    Entry { user: UserId(user), seq: Seq(seq), id, at: Millis(1), received: Millis(2), what }
}

fn item(id: u32) -> Item {
    Item {
        attributes: None,
        id: ItemId(id),
        key: Key::of_number(id),
        revision: 1,
        author: None,
        topics: vec![].into(),
        text: "".into(),
        embedding: Embedding::new(vec![1.0], 1).unwrap(),
        created: Millis(0),
        windows: Windows::default(),
        deleted: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_writes_at_a_time_and_the_second_is_told_who() {
    if skipped() {
        return;
    }
    let address = shared().url(&shared().database());
    let first = open(&address, &impatient()).await.unwrap();
    let Err(StoreError::Locked(told)) = open(&address, &impatient()).await else { panic!("two at once") };
    assert!(told.contains("eddyline") && told.contains("process"), "{told}");
    first.health().await.unwrap();
    // The second one waits for as long as it may.
    let patient = PostgresSettings { lock_wait_ms: 20_000, ..impatient() };
    let second = tokio::spawn(async move { open(&address, &patient).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished());
    drop(first);
    second.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_replaced_writes_nothing_more() {
    if skipped() {
        return;
    }
    let database = shared().database();
    let address = shared().url(&database);
    let first = open(&address, &impatient()).await.unwrap();
    first.append(vec![Write::Entry(entry(1, 1))]).await.unwrap();
    // Its connection is lost, and another writer takes the lock before it reconnects.
    let held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                (SELECT oid FROM pg_database WHERE datname = current_database())";
    shared().sql(&database, held);
    let second = open(&address, &PostgresSettings { lock_wait_ms: 10_000, ..impatient() }).await.unwrap();
    for _ in 0..2 {
        let answer = first.append(vec![Write::Entry(entry(1, 2))]).await;
        assert!(matches!(answer, Err(StoreError::Replaced(_) | StoreError::Unavailable(_))), "{answer:?}");
    }
    second.append(vec![Write::Entry(entry(1, 2))]).await.unwrap();
    drop(second);
    let Err(error @ StoreError::Replaced(_)) = first.append(vec![Write::Entry(entry(1, 3))]).await else { panic!() };
    assert!(error.to_string().contains("took the database over"), "{error}");
    assert!(matches!(first.replaced().await, StoreError::Replaced(_)), "whoever waits for it hears of it");
    drop(first);
    assert_eq!(open(&address, &impatient()).await.unwrap().scan(Position(0), 9).await.unwrap().len(), 2);
}

#[test]
fn any_number_may_migrate_at_once() {
    if skipped() {
        return;
    }
    for _ in 0..3 {
        let address = shared().url(&shared().database());
        let run = |command: &str| {
            let mut program = Command::new(crate::support::program());
            program.args(["db", command]).env("EDDYLINE_STORE", &address).stdout(Stdio::piped()).stderr(Stdio::piped());
            program.spawn().unwrap()
        };
        let processes: Vec<_> = (0..4).map(|_| run("migrate")).collect();
        let told: Vec<String> = processes
            .into_iter()
            .map(|process| {
                let output = process.wait_with_output().unwrap();
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{text}");
                text
            })
            .collect();
        assert_eq!(told.iter().filter(|text| text.contains("was 0")).count(), 1, "one of them did it: {told:?}");
        let status = run("status").wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&status.stdout);
        assert!(text.contains("schema version 13 of 13") && text.contains("journal"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    if skipped() {
        return;
    }
    let database = shared().database();
    let address = shared().url(&database);
    drop(open(&address, &impatient()).await.unwrap());
    shared().sql(&database, "INSERT INTO refinery_schema_history VALUES (9999, 'later', '2030-01-01T00:00:00Z', '1')");
    let Err(StoreError::Newer { found: 9999, known }) = open(&address, &impatient()).await else { panic!() };
    assert_eq!(known, schema::known_version());
}

/// All objects of a schema, as lines of text.
fn objects(database: &str) -> Vec<String> {
    let ours =
        "(SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'refinery%')";
    let queries = [
        format!(
            "SELECT concat_ws(' ', attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull, \
             attidentity, attstorage, pg_get_expr(adbin, adrelid)) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = \
             attrelid AND adnum = attnum WHERE attrelid IN {ours} AND attnum > 0 ORDER BY 1"
        ),
        format!(
            "SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE \
             conrelid IN {ours} ORDER BY 1"
        ),
        format!("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN {ours} ORDER BY 1"),
        format!("SELECT concat_ws(' ', relname, relkind, reloptions) FROM pg_class WHERE oid IN {ours} ORDER BY 1"),
    ];
    queries.iter().flat_map(|query| shared().sql(database, query)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_postgres_sql_is_what_the_migrations_make() {
    if skipped() {
        return;
    }
    let (migrated, read) = (shared().database(), shared().database());
    drop(open(&shared().url(&migrated), &impatient()).await.unwrap());
    shared().sql(&read, include_str!("../../sql/schema_postgres.sql"));
    let (migrated, read) = (objects(&migrated), objects(&read));
    assert!(migrated.len() > 60);
    assert_eq!(read, migrated, "left: sql/schema_postgres.sql, right: sql/migrations/postgres");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_is_one_that_postgres_takes_and_explains_itself() {
    if skipped() {
        return;
    }
    let database = shared().database();
    drop(open(&shared().url(&database), &impatient()).await.unwrap());
    let (client, connection) = tokio_postgres::connect(&shared().url(&database), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let queries = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/queries");
    let mut seen = 0;
    for directory in [queries.clone(), queries.join("postgres")] {
        for file in std::fs::read_dir(directory).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let header: String = text.lines().take_while(|line| line.starts_with("--")).collect();
            let statement = client.prepare(&text).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            for index in 1..=statement.params().len() {
                assert!(header.contains(&format!("${index} ")), "{name} must explain ${index}");
            }
            for column in statement.columns() {
                let known = header.contains(column.name()) || header.contains("journal_append.sql");
                assert!(known || column.name().contains("set_config") || column.name().starts_with("pg_"), "{name}");
            }
            seen += 1;
        }
    }
    assert!(seen > 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_column_cannot_hold_is_refused_and_the_rules_are_in_the_database() {
    if skipped() {
        return;
    }
    let database = shared().database();
    let store = open(&shared().url(&database), &impatient()).await.unwrap();
    let beyond = Entry { at: Millis(i64::MAX), ..entry(1, 1) };
    assert!(matches!(store.append(vec![Write::Entry(beyond)]).await, Err(StoreError::Refused(_))));
    store.append(vec![Write::Entry(entry(1, 1)), Write::Item(item(1).into())]).await.unwrap();
    for (rule, sql) in [
        ("windows_no_overlap", "INSERT INTO windows VALUES (1, '2026-01-01', '2026-01-03'), (1, '2026-01-02', NULL)"),
        (
            "journal_by_user_seq",
            "INSERT INTO journal (user_id, seq, event_id, kind, at, received) VALUES (1, 1, 'x', 'y', now(), now())",
        ),
        (
            "journal_by_user_event",
            "INSERT INTO journal (user_id, seq, event_id, kind, at, received) VALUES (1, 9, '1-1', 'y', now(), now())",
        ),
    ] {
        let text = format!(
            "DO $$ BEGIN {sql}; RAISE 'taken'; EXCEPTION WHEN unique_violation OR exclusion_violation \
                            THEN IF SQLERRM NOT LIKE '%{rule}%' THEN RAISE; END IF; END $$"
        );
        shared().sql(&database, &text);
    }
    shared().sql(&database, "UPDATE journal SET at = at + interval '1 microsecond'");
    assert!(matches!(store.recover(UserId(1)).await, Err(StoreError::Corrupt { table: "journal", .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_do_is_said_without_the_password() {
    if skipped() {
        return;
    }
    let good = shared().url(&shared().database());
    let wrong = good.replace("not-to-be-shown", "wrong-secret");
    let absent = shared().url("no_such_database");
    let closed = good.replace(&format!(":{}/", shared().port()), ":1/");
    for (name, address, word, retryable) in [
        ("a wrong password", &wrong, "28P01", false),
        ("no such database", &absent, "3D000", false),
        ("nobody there", &closed, "refused", true),
    ] {
        let Err(error) = open(address, &impatient()).await else { panic!("{name}") };
        let text = format!("{error} {error:?}");
        assert!(text.contains(word) && !text.contains("secret") && !text.contains("not-to-be"), "{name}: {text}");
        assert_eq!(matches!(error, StoreError::Unavailable(_)), retryable, "{name}: {text}");
    }
    open(&shared().socket_url(&shared().database()), &impatient()).await.unwrap().health().await.unwrap();
}

/// Status of `GET /ready`; 0 while the port is closed.
fn ready(port: u16) -> u16 {
    let ask = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    };
    ask().unwrap_or(0)
}

#[test]
fn a_server_waits_for_its_database_and_says_so() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let address = cluster.url(&cluster.database());
    cluster.stop();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = cluster.directory().join("server.log");
    let mut server = Command::new(crate::support::program())
        .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
        .env("EDDYLINE_STORE", address)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let until = |status: u16| {
        let asked = Instant::now();
        while ready(port) != status {
            let log = std::fs::read_to_string(&log).unwrap();
            assert!(asked.elapsed() < Duration::from_secs(30), "/ready never said {status}; log:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(503);
    cluster.run();
    until(200);
    let log = std::fs::read_to_string(&log).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(log.contains("waiting for the database") && !log.contains("not-to-be-shown"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_asks_for_as_much_as_sslmode_says() {
    if skipped() {
        return;
    }
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let cluster = Cluster::start(&[]);
    let (certificate, key) = (cluster.directory().join("server.crt"), cluster.directory().join("server.key"));
    std::fs::write(&certificate, signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    cluster.give(&key);
    let database = cluster.database();
    let plain = cluster.url(&database);
    assert!(open(&format!("{plain}?sslmode=require"), &impatient()).await.is_err(), "it speaks no TLS yet");
    for setting in ["ssl = on", "ssl_cert_file = '../server.crt'", "ssl_key_file = '../server.key'"] {
        cluster.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
    }
    tokio::task::block_in_place(|| {
        cluster.stop();
        cluster.run();
    });
    let named = plain.replace("127.0.0.1", "localhost");
    let roots = format!("sslrootcert={}", certificate.display().to_string().replace('/', "%2F"));
    for (name, address, encrypted) in [
        ("disable", format!("{plain}?sslmode=disable"), Some(false)),
        ("prefer", plain.clone(), Some(true)),
        ("require", format!("{plain}?sslmode=require"), Some(true)),
        ("verify-full, known", format!("{named}?sslmode=verify-full&{roots}"), Some(true)),
        ("verify-full, other name", format!("{plain}?sslmode=verify-full&{roots}"), None),
        ("verify-ca, other name", format!("{plain}?sslmode=verify-ca&{roots}"), Some(true)),
        ("verify-full, unknown", format!("{named}?sslmode=verify-full"), None),
    ] {
        let opened = open(&address, &impatient()).await;
        let found = opened.as_ref().ok().map(|_| {
            let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = \
                       current_database() AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')";
            cluster.sql(&database, sql) == ["t"]
        });
        assert_eq!(found, encrypted, "{name}: {:?}", opened.err());
    }
}

/// A batch of this size goes by COPY, which must return the outcomes of the statement for small batches.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_have_the_outcomes_of_a_few() {
    if skipped() {
        return;
    }
    let database = shared().database();
    let address = shared().url(&database);
    let store = open(&address, &PostgresSettings::default()).await.unwrap();
    let of = |user: u32, seqs: std::ops::RangeInclusive<u64>| seqs.map(move |seq| Write::Entry(entry(user, seq)));
    let positions = |outcomes: Vec<Outcome>| -> Vec<u64> {
        let position = |outcome| match outcome {
            Outcome::Stored(position) => position.0,
            other => panic!("{other:?}"),
        };
        outcomes.into_iter().map(position).collect()
    };
    let first = positions(store.append(of(1, 1..=2_500).chain(of(2, 1..=1)).collect()).await.unwrap());
    assert!(first.windows(2).all(|two| two[1] == two[0] + 1), "positions in the order of the batch");
    let read = store.scan(Position(0), 3_000).await.unwrap();
    assert_eq!(read.iter().map(|(position, _)| position.0).collect::<Vec<_>>(), first);

    // Known events and a gap, each in a big batch, are reported one by one; the other entries are stored.
    let again = store.append(of(1, 2_400..=2_500).chain(of(3, 1..=1_200)).collect()).await.unwrap();
    assert_eq!(again[0], Outcome::Duplicate(Seq(2_400)));
    assert!(again[1..101].iter().all(|outcome| *outcome == Outcome::Refused));
    assert_eq!(positions(again[101..].to_vec()).len(), 1_200);
    drop(store);
    let store = open(&address, &PostgresSettings::default()).await.unwrap();
    for (name, user, seqs, stored) in [
        ("goes on where a former server stood", 1, 2_501..=3_600, true),
        ("a gap", 2, 3..=1_300, false),
        ("a gap of somebody new", 9, 2..=1_300, false),
        ("taken numbers of somebody whom this server has not met", 3, 1..=1_100, false),
    ] {
        let outcomes = store.append(of(user, seqs).collect()).await.unwrap();
        let all = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_)));
        let none = outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Stored(_)));
        assert!(if stored { all } else { none }, "{name}: {:?}", &outcomes[..3]);
    }

    // One row that no column can hold: nothing of the batch is stored, and the connection stays usable.
    let mut batch: Vec<Write> = of(4, 1..=1_500).collect();
    let Write::Entry(last) = &mut batch[1_499] else { panic!() };
    last.at = Millis(i64::MAX);
    assert!(matches!(store.append(batch).await, Err(StoreError::Refused(_))));
    assert_eq!(positions(store.append(of(4, 1..=1_500).collect()).await.unwrap()).len(), 1_500);
    let seen = shared().sql(&database, "SELECT COUNT(*) FROM journal WHERE user_id = 4");
    assert_eq!(seen, ["1500"]);
}

/// An erased user stays erased for a server that never had the user in memory, and for one that has passivated the
/// user.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_was_erased_is_taken_at_their_word() {
    if skipped() {
        return;
    }
    let address = shared().url(&shared().database());
    let mut store = open(&address, &PostgresSettings::default()).await.unwrap();
    let person = Person {
        id: UserId(1),
        key: Key::of_number(1),
        name: None,
        attributes: None,
        created: Millis(0),
        erased: false,
    };
    let begin = vec![Write::Person(person), Write::Entry(entry(1, 1)), Write::Entry(entry(1, 2))];
    store.append(begin).await.unwrap();
    let erasure = Erasure { user: UserId(1), key: Key::new("gone-1").unwrap(), at: Millis(9), items: Vec::new() };
    store.append(vec![Write::Erase(erasure)]).await.unwrap();
    for server in ["the one that erased", "its successor"] {
        for seq in [1, 2, 3] {
            let outcomes = store.append(vec![Write::Entry(entry(1, seq))]).await.unwrap();
            assert_eq!(outcomes, [Outcome::Refused], "{server}, number {seq}");
        }
        drop(store);
        store = open(&address, &PostgresSettings::default()).await.unwrap();
    }
}
