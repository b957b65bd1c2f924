//! Write throughput of the Postgres store, compared with a bare client on the database in one run.
//!
//! Invariant: every measured entry is durable when it is counted, on both sides. Both write equal rows into tables with
//! equal columns and indexes, in batches of equal size, over equal connections, in turn. The bare client prepares its
//! rows before the clock starts, and reads only the acknowledgement.
//! Deliberately absent: the actors, the engine. Run it with `cargo bench --bench store_postgres`; it starts a private
//! Postgres in the temporary directory (`TMPDIR`), so it measures that disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark ends by a panic, prints its figures and has no callers"
)]

#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use eddyline::domain::ids::{FeedVersion, ItemId, Key, Position, Seq, TopicId, UserId};
use eddyline::domain::interactions::{Kind, Shown, Signal};
use eddyline::domain::journal::{CentreRef, Entry, Learned, Predicted, What};
use eddyline::domain::time::Millis;
use eddyline::store::codec::JournalRow;
use eddyline::store::postgres::{Postgres, PostgresSettings, PostgresUrl};
use eddyline::store::{Outcome, Store, Write};
use hdrhistogram::Histogram;
use postgres::Cluster;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};

const ROUNDS: usize = 5;
const COLUMNS: &str = "user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, \
                       shown_position, shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, \
                       predicted, payload";
const TYPES: [Type; 20] = [
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::FLOAT4,
    Type::BOOL,
    Type::FLOAT4,
    Type::TEXT,
    Type::INT8,
    Type::INT8,
    Type::BYTEA,
    Type::BYTEA,
    Type::TEXT,
];

fn entry(user: u32, seq: u64) -> Entry {
    let learned = Learned {
        item: ItemId((seq.wrapping_mul(2_654_435_761) % 100_000) as u32),
        revision: 1,
        kind: Kind::Like,
        dwell_ms: None,
        shown: Some(Shown { version: FeedVersion(seq), position: 3, propensity: 1.0 }),
        signal: Some(Signal { positive: true, weight: 1.0 }),
        topics: vec![TopicId(7), TopicId(12)],
        centre: CentreRef { topic: TopicId(7), epoch: 1 },
        features: vec![0.5; 5],
        predicted: Predicted { online: 0.1, topics: 0.2, model: 0.3, model_version: None },
        example: None,
        liked_at: None,
    };
    let id = Key::new(&format!("{:016x}", seq.wrapping_mul(0x9e37_79b9_7f4a_7c15))).unwrap();
    let at = Millis(1_700_000_000_000 + seq.cast_signed());
    Entry { user: UserId(user), seq: Seq(seq), id, at, received: at, what: What::Interacted(learned) }
}

fn all_stored(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_)))
}

/// A prepared row of the bare client.
type Row = Vec<Box<dyn ToSql + Send + Sync>>;

fn ready(entry: &Entry) -> Row {
    let row = JournalRow::encode(entry).unwrap();
    let at = |ms: i64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms.cast_unsigned());
    let owned = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
    let bytes = |bytes: Option<std::borrow::Cow<'_, [u8]>>| bytes.map(std::borrow::Cow::into_owned);
    vec![
        Box::new(row.user_id),
        Box::new(row.seq),
        Box::new(row.event_id.into_owned()),
        Box::new(row.kind.into_owned()),
        Box::new(at(row.at)),
        Box::new(at(row.received)),
        Box::new(row.item_id),
        Box::new(row.revision),
        Box::new(row.dwell_ms),
        Box::new(row.shown_version),
        Box::new(row.shown_position),
        Box::new(row.shown_propensity),
        Box::new(row.positive),
        Box::new(row.weight),
        Box::new(owned(row.topics)),
        Box::new(row.centre_topic),
        Box::new(row.centre_epoch),
        Box::new(bytes(row.features)),
        Box::new(bytes(row.predicted)),
        Box::new(owned(row.payload)),
    ]
}

/// Entries of `people` users in turn.
fn entries(people: u64, count: u64) -> impl Iterator<Item = Entry> {
    (0..count).map(move |n| entry((n % people) as u32, n / people + 1))
}

fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// A bare client on a copy of the journal's table, with its indexes.
struct Bare {
    client: Client,
}

impl Bare {
    async fn new(cluster: &Cluster, database: &str) -> Bare {
        let (client, connection) = tokio_postgres::connect(&cluster.url(database), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute(
                "CREATE TABLE bare (LIKE journal INCLUDING ALL);
                 CREATE TEMPORARY TABLE incoming (LIKE journal) ON COMMIT DELETE ROWS;
                 ALTER TABLE incoming DROP COLUMN position;",
            )
            .await
            .unwrap();
        Bare { client }
    }

    /// One `INSERT … VALUES (…), (…)` per batch, split at the parameter limit of Postgres.
    async fn values(&self, batches: &[Vec<Row>]) -> Duration {
        let size = batches[0].len();
        let pieces = (size * 20).div_ceil(65_535);
        let piece = size.div_ceil(pieces);
        let mut statements = std::collections::HashMap::new();
        for count in [piece, size - piece * (pieces - 1)] {
            let rows: Vec<String> = (0..count)
                .map(|row| {
                    let fields: Vec<String> = (1..=20).map(|field| format!("${}", row * 20 + field)).collect();
                    format!("({})", fields.join(","))
                })
                .collect();
            let sql = format!("INSERT INTO bare ({COLUMNS}) VALUES {}", rows.join(","));
            statements.insert(count, self.client.prepare(&sql).await.unwrap());
        }
        let start = Instant::now();
        for batch in batches {
            if pieces > 1 {
                self.client.batch_execute("BEGIN").await.unwrap();
            }
            for rows in batch.chunks(piece) {
                let parameters: Vec<&(dyn ToSql + Sync)> =
                    rows.iter().flatten().map(|field| &**field as &(dyn ToSql + Sync)).collect();
                assert_eq!(
                    self.client.execute(&statements[&rows.len()], &parameters).await.unwrap(),
                    rows.len() as u64
                );
            }
            if pieces > 1 {
                self.client.batch_execute("COMMIT").await.unwrap();
            }
        }
        start.elapsed()
    }

    /// COPY into a temporary table, and from there with positions.
    async fn copy(&self, batches: &[Vec<Row>]) -> Duration {
        let start = Instant::now();
        for batch in batches {
            self.client.batch_execute("BEGIN").await.unwrap();
            let sink = self.client.copy_in(&format!("COPY incoming ({COLUMNS}) FROM STDIN BINARY")).await.unwrap();
            let writer = BinaryCopyInWriter::new(sink, &TYPES);
            let mut writer = std::pin::pin!(writer);
            for row in batch {
                let fields: Vec<&(dyn ToSql + Sync)> =
                    row.iter().map(|field| &**field as &(dyn ToSql + Sync)).collect();
                writer.as_mut().write(&fields).await.unwrap();
            }
            writer.as_mut().finish().await.unwrap();
            let sql = format!("INSERT INTO bare ({COLUMNS}) SELECT {COLUMNS} FROM incoming RETURNING position");
            assert_eq!(self.client.query(&sql, &[]).await.unwrap().len(), batch.len());
            self.client.batch_execute("COMMIT").await.unwrap();
        }
        start.elapsed()
    }

    /// COPY directly into the table; positions follow from the last one, since there is no other writer.
    async fn copy_direct(&self, batches: &[Vec<Row>]) -> Duration {
        let sql = format!("COPY bare ({COLUMNS}) FROM STDIN BINARY");
        let copy = self.client.prepare(&sql).await.unwrap();
        let last = self.client.prepare("SELECT currval(pg_get_serial_sequence('bare', 'position'))").await.unwrap();
        let start = Instant::now();
        for batch in batches {
            self.client.batch_execute("BEGIN").await.unwrap();
            let sink = self.client.copy_in(&copy).await.unwrap();
            let writer = BinaryCopyInWriter::new(sink, &TYPES);
            let mut writer = std::pin::pin!(writer);
            for row in batch {
                let fields: Vec<&(dyn ToSql + Sync)> =
                    row.iter().map(|field| &**field as &(dyn ToSql + Sync)).collect();
                writer.as_mut().write(&fields).await.unwrap();
            }
            assert_eq!(writer.as_mut().finish().await.unwrap(), batch.len() as u64);
            let _: i64 = self.client.query_one(&last, &[]).await.unwrap().get(0);
            self.client.batch_execute("COMMIT").await.unwrap();
        }
        start.elapsed()
    }

    async fn empty(&self) {
        self.client.batch_execute("TRUNCATE bare; CHECKPOINT").await.unwrap();
    }
}

fn batches(size: u64, count: u64, people: u64) -> Vec<Vec<Row>> {
    let rows: Vec<Row> = entries(people, count).map(|entry| ready(&entry)).collect();
    let mut batches = Vec::new();
    let mut rows = rows.into_iter().peekable();
    while rows.len() as u64 >= size {
        batches.push(rows.by_ref().take(size as usize).collect());
    }
    batches
}

async fn open(cluster: &Cluster) -> (Arc<dyn Store>, String) {
    let database = cluster.database();
    let url = PostgresUrl::parse(&cluster.url(&format!("{database}?sslmode=disable"))).unwrap();
    (Arc::new(Postgres::open(&url, &PostgresSettings::default()).await.unwrap()), database)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Producers that wait for each own acknowledgement: rate, entries per transaction, waits.
async fn produce(cluster: &Cluster, producers: u32, people: u32, count: u64) -> (f64, f64, Histogram<u64>) {
    let (store, database) = open(cluster).await;
    let (each, own) = (count / u64::from(producers), people / producers);
    let start = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|producer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut waits = Histogram::<u64>::new(3).unwrap();
                for number in 0..each {
                    let person = producer * own + (number % u64::from(own)) as u32;
                    let write = Write::Entry(entry(person, number / u64::from(own) + 1));
                    let asked = Instant::now();
                    assert!(all_stored(&store.append(vec![write]).await.unwrap()));
                    waits.record(asked.elapsed().as_micros() as u64).unwrap();
                }
                waits
            })
        })
        .collect();
    let mut waits = Histogram::<u64>::new(3).unwrap();
    for task in tasks {
        waits.add(task.await.unwrap()).unwrap();
    }
    let took = start.elapsed();
    assert_eq!(store.scan(Position(0), 1).await.unwrap().len(), 1);
    let groups: f64 = cluster.sql(&database, "SELECT count(DISTINCT xmin::text) FROM journal")[0].parse().unwrap();
    let written = each * u64::from(producers);
    (rate(written, took), written as f64 / groups, waits)
}

async fn bulk(store: &Arc<dyn Store>, size: u64, count: u64, first: u64, people: u64) -> Duration {
    let mut writes = entries(people, first + count).skip(first as usize).map(Write::Entry);
    let batches: Vec<Vec<Write>> = (0..count / size).map(|_| writes.by_ref().take(size as usize).collect()).collect();
    let start = Instant::now();
    for batch in batches {
        assert!(all_stored(&store.append(batch).await.unwrap()));
    }
    start.elapsed()
}

async fn measure() {
    let cluster = Cluster::start(&[]);
    println!(
        "{:34} {:>10} {:>10} {:>10} {:>10} {:>9}",
        "durable entries a second, medians", "the store", "VALUES", "via temp", "COPY", "of VALUES"
    );
    for (producers, people, count) in [(1, 64, 2_000), (64, 6_400, 40_000), (512, 51_200, 80_000)] {
        let (mut ours, mut bare, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        let mut waits = Histogram::<u64>::new(3).unwrap();
        for _ in 0..ROUNDS {
            let (rate_of_ours, size, waited) = produce(&cluster, producers, people, count).await;
            waits.add(waited).unwrap();
            let (store, database) = open(&cluster).await;
            let bare_client = Bare::new(&cluster, &database).await;
            let size_of_bare = (size.round() as u64).max(1);
            let rows = batches(size_of_bare, count, u64::from(people));
            bare.push(rate(rows.len() as u64 * size_of_bare, bare_client.values(&rows).await));
            ours.push(rate_of_ours);
            sizes.push(size);
            drop(store);
        }
        let (ours, bare) = (median(ours), median(bare));
        println!(
            "{:34} {ours:10.0} {bare:10.0} {:>21} {:8.0}%   {:.0} per commit, acknowledged p50 {:.1} ms, p99 {:.1} ms",
            format!("{producers} producers, {people} people"),
            "",
            100.0 * ours / bare,
            median(sizes),
            waits.value_at_quantile(0.5) as f64 / 1e3,
            waits.value_at_quantile(0.99) as f64 / 1e3,
        );
    }
    for (size, count) in [(32, 9_600), (300, 60_000), (1_000, 100_000), (4_096, 204_800)] {
        let (mut ours, mut values, mut copies, mut direct) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (store, database) = open(&cluster).await;
            let bare = Bare::new(&cluster, &database).await;
            ours.push(rate(count, bulk(&store, size, count, 0, 1_000).await));
            let rows = batches(size, count, 1_000);
            let count = rows.len() as u64 * size;
            bare.empty().await;
            values.push(rate(count, bare.values(&rows).await));
            bare.empty().await;
            copies.push(rate(count, bare.copy(&rows).await));
            bare.empty().await;
            direct.push(rate(count, bare.copy_direct(&rows).await));
        }
        let (ours, values, copies, direct) = (median(ours), median(values), median(copies), median(direct));
        println!(
            "{:34} {ours:10.0} {values:10.0} {copies:10.0} {direct:10.0} {:8.0}%",
            format!("batches of {size}"),
            100.0 * ours / values
        );
    }
}

fn main() {
    if postgres::skipped() || std::env::args().any(|argument| argument == "--test") {
        return;
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(measure());
}
