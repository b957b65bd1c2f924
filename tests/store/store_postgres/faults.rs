//! The Postgres store when its database or connection fails: appends stay exact.

use super::*;

/// Acknowledged positions, by user and number.
type Acknowledged = HashMap<(u32, u64), u64>;

/// Users that act continuously, each waiting for the answer, until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    tasks: Vec<tokio::task::JoinHandle<(Acknowledged, u64)>>,
}

/// Progress of a running load.
#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    repeated: AtomicU64,
}

impl Load {
    fn begin(store: &Arc<dyn Store>) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let tasks =
            (0..USERS).map(|user| tokio::spawn(act(store.clone(), stop.clone(), counts.clone(), user))).collect();
        Load { stop, counts, tasks }
    }

    /// Whether this many entries were acknowledged and repeated. A slow machine gets more rounds, not a lower bar.
    fn reached(&self, acknowledged: u64, repeated: u64) -> bool {
        self.counts.acknowledged.load(Ordering::Relaxed) > acknowledged
            && self.counts.repeated.load(Ordering::Relaxed) > repeated
    }

    /// Acknowledged positions, by user and number; and the number of repeated batches.
    async fn end(self) -> (Acknowledged, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut all, mut repeated) = (HashMap::new(), 0);
        for task in self.tasks {
            let (acknowledged, again) = task.await.unwrap();
            all.extend(acknowledged);
            repeated += again;
        }
        (all, repeated)
    }
}

async fn act(store: Arc<dyn Store>, stop: Arc<AtomicBool>, counts: Arc<Counts>, user: u32) -> (Acknowledged, u64) {
    let (mut acknowledged, mut seq, mut repeated) = (HashMap::new(), 0, 0);
    while !stop.load(Ordering::Relaxed) {
        let batch: Vec<Write> = (1..=seq % 3 + 1).map(|more| Write::Entry(entry(user, seq + more))).collect();
        let outcomes = loop {
            match store.append(batch.clone()).await {
                Ok(outcomes) => break outcomes,
                Err(StoreError::Unavailable(_)) => {
                    repeated += 1;
                    counts.repeated.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("user {user}, after seq {seq}: {error}"),
            }
        };
        for outcome in outcomes {
            seq += 1;
            let Outcome::Stored(position) = outcome else { panic!("user {user}, seq {seq}: {outcome:?}") };
            acknowledged.insert((user, seq), position.0);
            counts.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
    (acknowledged, repeated)
}

/// Acknowledged entries are at their positions; none is there twice, or without an acknowledgement.
async fn verify(store: &Arc<dyn Store>, acknowledged: &Acknowledged) {
    let mut last: HashMap<u32, u64> = HashMap::new();
    let mut found: HashMap<(u32, u64), u64> = HashMap::new();
    for (position, read) in store.scan(Position(0), u32::MAX).await.unwrap() {
        let seq = last.entry(read.user.0).or_default();
        *seq += 1;
        assert_eq!((read.seq.0, read.id.as_str()), (*seq, &*format!("{}-{seq}", read.user.0)), "consecutive");
        found.insert((read.user.0, read.seq.0), position.0);
    }
    assert!(found == *acknowledged, "{} found, {} acknowledged", found.len(), acknowledged.len());
    for (user, seq) in last {
        assert_eq!(store.follows(UserId(user)).await.unwrap().len() as u64, seq / 5, "the graph goes with its entries");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_unavailable_until_it_takes_writes_again() {
    if skipped() {
        return;
    }
    let database = shared().database();
    let store = open(&shared().url(&database), &impatient()).await.unwrap();
    let switch = |to: &str| {
        shared().sql("postgres", &format!("ALTER DATABASE {database} SET default_transaction_read_only = {to}"));
        shared().sql(
            "postgres",
            &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"),
        );
    };
    switch("on");
    let batch = vec![Write::Entry(entry(1, 1))];
    let mut told = Vec::new();
    for _ in 0..3 {
        let Err(StoreError::Unavailable(text)) = store.append(batch.clone()).await else { panic!("it wrote") };
        told.push(text);
    }
    assert!(told.iter().any(|text| text.contains("read-only")), "{told:?}");
    assert!(matches!(store.health().await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.follows(UserId(1)).await.unwrap(), [], "reading goes on");
    switch("off");
    let mut answer = store.append(batch.clone()).await;
    for _ in 0..5 {
        if answer.is_err() {
            answer = store.append(batch.clone()).await;
        }
    }
    assert!(matches!(answer.unwrap()[..], [Outcome::Stored(_)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_append_is_exact_though_its_connections_are_killed() {
    if skipped() {
        return;
    }
    let database = shared().database();
    let store = open(&shared().url(&database), &PostgresSettings { lock_wait_ms: 5_000, ..impatient() }).await.unwrap();
    let load = Load::begin(&store);
    let mut random = rand::rngs::StdRng::seed_from_u64(u64::from(std::process::id()));
    let begin = Instant::now();
    let mut rounds = 0;
    while rounds < 60 || (!load.reached(1_000, 60) && begin.elapsed() < PATIENCE) {
        rounds += 1;
        tokio::time::sleep(Duration::from_micros(random.random_range(1_000..60_000))).await;
        let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
        shared().sql("postgres", &sql);
    }
    let (acknowledged, repeated) = load.end().await;
    assert!(acknowledged.len() > 1_000 && repeated > 60, "{} acknowledged, {repeated} repeated", acknowledged.len());
    verify(&store, &acknowledged).await;
}

/// Proxy between a store and its database. From time to time it forwards a query and cuts the connection before the
/// answer, so that the answer to a commit is lost.
struct Wire {
    port: u16,
    /// Cut with the next answer.
    cut: Arc<AtomicBool>,
    cuts: Arc<AtomicU64>,
    /// Connections from before the last of these carry nothing more, without an error for either end.
    silences: Arc<AtomicU64>,
}

impl Wire {
    async fn to(port: u16) -> Wire {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port_of_wire = listener.local_addr().unwrap().port();
        let wire = Wire { port: port_of_wire, cut: Arc::default(), cuts: Arc::default(), silences: Arc::default() };
        let (cut, cuts, silences) = (wire.cut.clone(), wire.cuts.clone(), wire.silences.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (cut, cuts, silences) = (cut.clone(), cuts.clone(), silences.clone());
                tokio::spawn(async move {
                    let far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let ((mut asks, mut hears), (mut answers, mut takes)) = (near.into_split(), far.into_split());
                    let born = silences.load(Ordering::Relaxed);
                    let is_silent = move || silences.load(Ordering::Relaxed) > born;
                    let hushed = is_silent.clone();
                    let asking = tokio::spawn(async move {
                        let mut buffer = vec![0; 65_536];
                        while let Ok(length @ 1..) = asks.read(&mut buffer).await {
                            if hushed() {
                                std::future::pending::<()>().await;
                            }
                            if takes.write_all(&buffer[..length]).await.is_err() {
                                break;
                            }
                        }
                    });
                    let mut buffer = vec![0; 65_536];
                    while let Ok(length @ 1..) = answers.read(&mut buffer).await {
                        if is_silent() {
                            std::future::pending::<()>().await;
                        }
                        if cut.swap(false, Ordering::Relaxed) {
                            cuts.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        if hears.write_all(&buffer[..length]).await.is_err() {
                            break;
                        }
                    }
                    asking.abort();
                });
            }
        });
        wire
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_append_is_exact_though_the_answer_to_its_commit_was_lost() {
    if skipped() {
        return;
    }
    let wire = Wire::to(shared().port()).await;
    let address =
        shared().url(&shared().database()).replace(&format!(":{}/", shared().port()), &format!(":{}/", wire.port));
    let settings = PostgresSettings { lock_wait_ms: 5_000, ..impatient() };
    let store = open(&format!("{address}?sslmode=disable"), &settings).await.unwrap();
    let load = Load::begin(&store);
    let mut random = rand::rngs::StdRng::seed_from_u64(u64::from(std::process::id()));
    let begin = Instant::now();
    while (wire.cuts.load(Ordering::Relaxed) <= 25 || !load.reached(500, 25)) && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_micros(random.random_range(20_000..150_000))).await;
        wire.cut.store(true, Ordering::Relaxed);
    }
    let (acknowledged, repeated) = load.end().await;
    let cuts = wire.cuts.load(Ordering::Relaxed);
    assert!(
        cuts > 25 && repeated > 25 && acknowledged.len() > 500,
        "{cuts} cuts, {repeated} repeated, {} acknowledged",
        acknowledged.len()
    );
    // An armed cut would meet the reads below.
    wire.cut.store(false, Ordering::Relaxed);
    verify(&store, &acknowledged).await;
}

/// A silent connection, as after a pulled cable: both ends think that the other is there, and Postgres keeps the
/// writer's lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_fell_silent_is_given_up_and_what_it_held_is_freed() {
    if skipped() {
        return;
    }
    let wire = Wire::to(shared().port()).await;
    let address =
        shared().url(&shared().database()).replace(&format!(":{}/", shared().port()), &format!(":{}/", wire.port));
    let settings = PostgresSettings { lock_wait_ms: 20_000, ..impatient() };
    let store = open(&format!("{address}?sslmode=disable"), &settings).await.unwrap();
    for seq in 1..=4 {
        let begin = Instant::now();
        loop {
            match store.append(vec![Write::Entry(entry(1, seq))]).await {
                Ok(outcomes) => {
                    assert!(matches!(outcomes[..], [Outcome::Stored(_)]), "{seq}: {outcomes:?}");
                    break;
                }
                Err(StoreError::Unavailable(_)) if begin.elapsed() < PATIENCE => {}
                Err(error) => panic!("{seq}: {error}"),
            }
        }
        if seq < 4 {
            wire.silences.fetch_add(1, Ordering::Relaxed);
        }
    }
    drop(store);
    let seqs: Vec<u64> = open(&address, &PostgresSettings { lock_wait_ms: 20_000, ..impatient() })
        .await
        .unwrap()
        .scan(Position(0), 9)
        .await
        .unwrap()
        .iter()
        .map(|(_, entry)| entry.seq.0)
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_entry_is_there_once_after_kill_9_of_the_postmaster() {
    if skipped() {
        return;
    }
    const ROUNDS: u32 = 12;
    let cluster = Cluster::start(&[]);
    let settings = PostgresSettings { lock_wait_ms: 5_000, connect_ms: 2_000, statement_ms: 2_000, ..impatient() };
    let store = open(&cluster.url(&cluster.database()), &settings).await.unwrap();
    let load = Load::begin(&store);
    let mut random = rand::rngs::StdRng::seed_from_u64(u64::from(std::process::id()));
    let begin = Instant::now();
    let mut rounds = 0;
    while rounds < ROUNDS || (!load.reached(1_000, u64::from(ROUNDS)) && begin.elapsed() < PATIENCE) {
        rounds += 1;
        tokio::time::sleep(Duration::from_micros(random.random_range(20_000..400_000))).await;
        tokio::task::block_in_place(|| {
            cluster.kill();
            cluster.run();
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (acknowledged, repeated) = load.end().await;
    assert!(
        acknowledged.len() > 1_000 && repeated > u64::from(ROUNDS),
        "{} acknowledged, {repeated} repeated",
        acknowledged.len()
    );
    verify(&store, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_database_is_unavailable_and_the_repetition_exact() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let store = open(&cluster.url(&cluster.database()), &impatient()).await.unwrap();
    let load = Load::begin(&store);
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.freeze();
    let asked = Instant::now();
    let answer = store.append(vec![Write::Entry(entry(USERS, 1))]).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(asked.elapsed() < PATIENCE, "it took {:?}", asked.elapsed());
    assert!(matches!(store.recover(UserId(1)).await, Err(StoreError::Unavailable(_))), "reading, too");
    tokio::time::sleep(Duration::from_secs(3).saturating_sub(asked.elapsed())).await;
    cluster.thaw();
    let mut again = store.append(vec![Write::Entry(entry(USERS, 1))]).await;
    while let Err(StoreError::Unavailable(_)) = again {
        assert!(asked.elapsed() < PATIENCE);
        again = store.append(vec![Write::Entry(entry(USERS, 1))]).await;
    }
    let Ok(&[Outcome::Stored(position)]) = again.as_deref() else { panic!("{again:?}") };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut acknowledged, repeated) = load.end().await;
    acknowledged.insert((USERS, 1), position.0);
    assert!(repeated > 0);
    verify(&store, &acknowledged).await;
}
