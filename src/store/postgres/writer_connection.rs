//! The connection of the one who writes, and its transactions.
//!
//! Invariant: whoever writes has the writer's lock, which Postgres ends with the connection and with nothing else. So when
//! a connection is lost and a new one has the lock, the fate of the last transaction is sealed and can be read. Each store
//! that is opened begins a term; one that finds a later term than its own has been replaced, says so, and writes nothing
//! more.
//! Isolation: read committed, the default; nobody else writes what is read here.
//! Absent on purpose: the queue.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::failures::{late, while_connecting};
use super::journal::{self, Appended, Needed};
use super::plan::{self, NoPlan, Plan, Stored};
use super::pool::Client;
use super::settings::PostgresSettings;
use super::{rows, schema, writes};
use crate::domain::ids::{Position, Seq, UserId};
use crate::store::group::{Call, Work};
use crate::store::tail_cache::TailCache;
use crate::store::{Outcome, StoreError, Write};

const LOCK_TRY: &str = include_str!("../../../sql/queries/postgres/lock_try.sql");
const LOCK_HOLDER: &str = include_str!("../../../sql/queries/postgres/lock_holder.sql");
const LOCK_FREE: &str = include_str!("../../../sql/queries/postgres/lock_free.sql");
const LOCK_RELEASE: &str = include_str!("../../../sql/queries/postgres/lock_release.sql");
const WRITER_BEGIN_TERM: &str = include_str!("../../../sql/queries/postgres/writer_begin_term.sql");
const WRITER_TERM: &str = include_str!("../../../sql/queries/postgres/writer_term.sql");
const JOURNAL_LAST_POSITION: &str = include_str!("../../../sql/queries/journal_last_position.sql");
const JOURNAL_LAST_SEQS: &str = include_str!("../../../sql/queries/postgres/journal_last_seqs.sql");
const PEOPLE_ERASED: &str = include_str!("../../../sql/queries/postgres/people_erased.sql");
const JOURNAL_FIND_EVENTS: &str = include_str!("../../../sql/queries/postgres/journal_find_events.sql");

/// The lock of whoever writes: "EDDY" and 2.
const WRITER_LOCK: i64 = 0x4544_4459_0000_0002;
/// Between two looks at a lock that somebody else has.
const LOCK_LOOK: Duration = Duration::from_millis(25);

/// The right to write, and the connection that has it.
pub(super) struct WriterConnection {
    pool: Pool,
    client: Option<Client>,
    /// Postgres's number for the last connection that had the lock.
    process: Option<i32>,
    term: i64,
    tails: TailCache,
    /// Everybody who was erased. All of them, unlike `tails`: it is what keeps them from coming back.
    erased: HashSet<UserId>,
    /// Who replaced us.
    replaced: watch::Sender<Option<String>>,
    settings: PostgresSettings,
}

impl WriterConnection {
    /// Brings the schema up to date, takes the lock and begins a term. `pool` must have room for one connection.
    pub(super) async fn open(pool: Pool, settings: &PostgresSettings) -> Result<WriterConnection, StoreError> {
        let mut client = pool.get().await?;
        schema::migrate(&mut client).await?;
        // Its timeouts are off, and its lock may not be given back.
        drop(Object::take(client));
        let mut session = WriterConnection {
            pool,
            client: None,
            process: None,
            term: 0,
            tails: TailCache::default(),
            erased: HashSet::new(),
            replaced: watch::Sender::default(),
            settings: settings.clone(),
        };
        let client = timeout(settings.patience() + Duration::from_millis(settings.lock_wait_ms), session.take())
            .await
            .map_err(|_| late())??;
        session.term = client.query_one(WRITER_BEGIN_TERM, &[]).await?.try_get(0)?;
        session.begin(client).await?;
        Ok(session)
    }

    /// Hears who has replaced us.
    pub(super) fn replaced(&self) -> watch::Receiver<Option<String>> {
        self.replaced.subscribe()
    }

    /// Nobody asks for anything: is the connection still there, and if not, is the database still ours?
    pub(super) async fn look(&mut self) {
        if let Err(error) = self.connect().await {
            tracing::debug!(%error, "the database is away");
        }
    }

    /// Gives the lock back.
    pub(super) async fn close(mut self) {
        if let Some(client) = self.client.take() {
            // Gone with the connection in any case; so the next one need not wait for that.
            let _ = timeout(Duration::from_secs(1), client.execute(LOCK_RELEASE, &[&WRITER_LOCK])).await;
            drop(Object::take(client));
        }
    }

    /// Stores a group in one transaction. After `Refused` nothing was stored; after any other error nobody knows, and
    /// whoever comes with the same entries again is told.
    pub(super) async fn commit(&mut self, group: &[Call]) -> Result<Vec<Vec<Outcome>>, StoreError> {
        self.connect().await.map_err(while_connecting)?;
        let committed = timeout(self.settings.patience(), self.try_commit(group)).await.unwrap_or_else(|_| Err(late()));
        match &committed {
            Ok(_) => {
                self.tails.settle(group);
                self.erased.extend(group.iter().flat_map(|call| call.work.batch()).filter_map(|write| match write {
                    Write::Erase(erasure) => Some(erasure.user),
                    _ => None,
                }));
            }
            // Postgres has rolled it back.
            Err(StoreError::Refused(_)) => {}
            Err(_) => {
                self.tails.doubt(group);
                self.abandon();
            }
        }
        committed
    }

    /// A connection with the lock, if there is none.
    async fn connect(&mut self) -> Result<(), StoreError> {
        if self.client.as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(());
        }
        self.abandon();
        let limit = self.settings.patience();
        let client = timeout(limit, self.take()).await.map_err(|_| late())??;
        let ours = timeout(limit, self.is_ours(&client)).await.unwrap_or_else(|_| Err(late()));
        match ours {
            Ok(true) => {
                tracing::info!("connected to the database again");
                self.begin(client).await
            }
            Ok(false) => {
                drop(Object::take(client));
                Err(self.give_up("it has ended since".into()))
            }
            Err(error) => {
                drop(Object::take(client));
                Err(error)
            }
        }
    }

    /// Is the term still the one that we began?
    async fn is_ours(&self, client: &Client) -> Result<bool, StoreError> {
        let found = client.query_opt(WRITER_TERM, &[]).await?.map(|row| row.try_get::<_, i64>(0)).transpose()?;
        Ok(found == Some(self.term))
    }

    fn give_up(&self, by: String) -> StoreError {
        self.replaced.send_replace(Some(by.clone()));
        StoreError::Replaced(by)
    }

    async fn begin(&mut self, client: Client) -> Result<(), StoreError> {
        let read =
            async { tokio::try_join!(client.query_one(JOURNAL_LAST_POSITION, &[]), client.query(PEOPLE_ERASED, &[])) };
        let (last, erased) = timeout(self.settings.patience(), read).await.map_err(|_| late())??;
        let last: Option<i64> = last.try_get(0)?;
        // Those of before stay: nobody who was erased comes back.
        for row in &erased {
            self.erased.insert(UserId(rows::number("users", row, 0)?));
        }
        self.tails.last = Some(Position(last.unwrap_or(0).cast_unsigned()));
        self.client = Some(client);
        Ok(())
    }

    /// A new connection that has the lock.
    async fn take(&mut self) -> Result<Client, StoreError> {
        let client = self.pool.get().await?;
        match self.take_lock(&client).await {
            Ok(()) => Ok(client),
            Err(error) => {
                drop(Object::take(client));
                Err(error)
            }
        }
    }

    async fn take_lock(&mut self, client: &Client) -> Result<(), StoreError> {
        let deadline = Instant::now() + Duration::from_millis(self.settings.lock_wait_ms);
        loop {
            if client.query_one(LOCK_TRY, &[&WRITER_LOCK]).await?.try_get(0)? {
                break;
            }
            // Perhaps we have it ourselves, on a connection that Postgres does not know to be lost.
            if let Some(process) = self.process.take() {
                client.execute(LOCK_FREE, &[&WRITER_LOCK, &i64::from(process)]).await?;
            }
            let (began, is_late) = (self.term > 0, Instant::now() >= deadline);
            let replaced = began && !self.is_ours(client).await?;
            if replaced || is_late {
                let holder = client.query_opt(LOCK_HOLDER, &[&WRITER_LOCK]).await?;
                let holder = holder.and_then(|row| row.try_get::<_, String>(0).ok());
                let holder = holder.unwrap_or_else(|| "somebody who has ended since".into());
                return Err(match (replaced, began) {
                    (true, _) => self.give_up(holder),
                    // Our own lost connection, or somebody who has just come and has not begun yet.
                    (false, true) => {
                        StoreError::Unavailable(format!("the right to write is with {holder}: waiting for it"))
                    }
                    (false, false) => StoreError::Locked(format!("the database, by {holder}, so it")),
                });
            }
            sleep(LOCK_LOOK).await;
        }
        self.process = client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
        Ok(())
    }

    /// Lets the connection go, whatever it was doing.
    fn abandon(&mut self) {
        self.tails.forget();
        if let Some(client) = self.client.take() {
            // Not back to the pool: it may still have the lock, and a transaction.
            drop(Object::take(client));
        }
    }

    async fn try_commit(&mut self, group: &[Call]) -> Result<Vec<Vec<Outcome>>, StoreError> {
        let Some(client) = &mut self.client else { return Err(late()) };
        let last = self.tails.last.unwrap_or_default();
        let known = know(client, &mut self.tails, &self.erased, group, Trust::Callers).await?;
        match Plan::new(group, &self.tails, known.seqs, None) {
            Ok(plan) => match write(client, &plan, &known.needed, last).await {
                Ok(Some(positions)) => return Ok(plan.settle(&mut self.tails, &positions)),
                // A number is not the next one of its person.
                Ok(None) => {}
                // A number or an event of the journal is taken; or a key is, which will be said again.
                Err(StoreError::Refused(why)) if !plan.journal.is_empty() && why.contains("journal_by_user_") => {}
                Err(error) => return Err(error),
            },
            Err(NoPlan::Refused(error)) => return Err(error),
            Err(NoPlan::Look) => {}
        }
        let known = know(client, &mut self.tails, &self.erased, group, Trust::Nobody).await?;
        let looked = look(client, &self.tails, known.seqs, group).await?;
        let positions = write(client, &looked, &known.needed, last).await?.ok_or_else(late)?;
        Ok(looked.settle(&mut self.tails, &positions))
    }
}

/// Who says what the last number of a person is, when it is not remembered here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The first entry that comes: it is taken for the next one, and whether it is, the append itself finds out.
    Callers,
    /// The database.
    Nobody,
}

/// The last numbers of everybody in a group; those that callers are trusted with hold when the journal has `needed`.
struct Known {
    seqs: HashMap<UserId, Seq>,
    needed: Needed,
}

async fn know(
    client: &Client,
    tails: &mut TailCache,
    erased: &HashSet<UserId>,
    group: &[Call],
    trust: Trust,
) -> Result<Known, StoreError> {
    let mut known = Known { seqs: HashMap::new(), needed: Needed::default() };
    let claims = if trust == Trust::Callers { claims(group) } else { HashMap::new() };
    let mut unknown: Vec<i64> = Vec::new();
    for user in plan::people(group) {
        if erased.contains(&user) {
            known.seqs.insert(user, plan::ERASED);
        } else if let Some(seq) = tails.seq(user) {
            known.seqs.insert(user, seq);
        } else if let Some(before) = claims.get(&user) {
            known.seqs.insert(user, *before);
            // That nothing of theirs is there yet follows from their first number being free.
            if *before > Seq(0) {
                known.needed.people.push(i64::from(user.0));
                known.needed.seqs.push(before.0.cast_signed());
            }
        } else {
            unknown.push(i64::from(user.0));
        }
    }
    if unknown.is_empty() {
        return Ok(known);
    }
    let statement = client.prepare_cached(JOURNAL_LAST_SEQS).await?;
    for row in client.query(&statement, &[&unknown]).await? {
        let (user, seq): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        // Came from a `UserId`.
        let user = UserId(user as u32);
        let seq = Seq(seq.unwrap_or(0).cast_unsigned());
        tails.set(user, seq);
        known.seqs.insert(user, seq);
    }
    Ok(known)
}

/// What the first entry of each person says that the number before it is. Nobody is taken at their word where more than
/// entries comes: an erasure moves the end, and a snapshot is compared with it.
fn claims(group: &[Call]) -> HashMap<UserId, Seq> {
    let mut claims: HashMap<UserId, Option<Seq>> = HashMap::new();
    for call in group {
        if let Work::Snapshot(user, _) = &call.work {
            claims.insert(*user, None);
        }
        for write in call.work.batch() {
            match write {
                Write::Entry(entry) => {
                    claims.entry(entry.user).or_insert_with(|| {
                        entry.seq.0.checked_sub(1).filter(|before| *before < plan::ERASED.0 - 1).map(Seq)
                    });
                }
                Write::Erase(_) => return HashMap::new(),
                _ => {}
            }
        }
    }
    claims.into_iter().filter_map(|(user, before)| Some((user, before?))).collect()
}

/// Plans with a look at which events are stored already.
async fn look<'g>(
    client: &Client,
    tails: &TailCache,
    known: HashMap<UserId, Seq>,
    group: &'g [Call],
) -> Result<Plan<'g>, StoreError> {
    let entries = || group.iter().flat_map(|call| plan::entries(call.work.batch()));
    let people: Vec<i64> = entries().map(|entry| i64::from(entry.user.0)).collect();
    let events: Vec<&str> = entries().map(|entry| entry.id.as_str()).collect();
    let statement = client.prepare_cached(JOURNAL_FIND_EVENTS).await?;
    let mut stored = Stored::new();
    for row in client.query(&statement, &[&people, &events]).await? {
        let (position, entry) = rows::entry(&row)?;
        stored.insert((entry.user, entry.id.clone()), (position, entry));
    }
    Plan::new(group, tails, known, Some(&stored)).map_err(|none| match none {
        NoPlan::Refused(error) => error,
        NoPlan::Look => late(),
    })
}

/// `last` is where the journal ends. `None`: something needed was missing, and nothing was written.
async fn write(client: &mut Client, plan: &Plan<'_>, needed: &Needed, last: Position) -> Result<Appended, StoreError> {
    if plan.is_plain() && plan.journal.len() < journal::COPY_ROWS_MIN {
        // One statement is a transaction by itself, in one round trip.
        return journal::insert(&*client, &plan.journal, needed).await;
    }
    let transaction = client.transaction().await?;
    let mut positions: Vec<Position> = Vec::with_capacity(plan.journal.len());
    let (mut needed, none) = (needed, Needed::default());
    let parts = plan.parts.iter().map(|part| (&part.tables, part.journal_end, Some(part.erasure)));
    for (tables, end, erasure) in parts.chain([(&plan.tables, plan.journal.len(), None)]) {
        writes::others(&transaction, tables).await?;
        let rows = &plan.journal[positions.len()..end];
        let appended = if rows.len() < journal::COPY_ROWS_MIN {
            journal::insert(&transaction, rows, needed).await?
        } else {
            journal::copy(&transaction, rows, needed, positions.last().copied().unwrap_or(last)).await?
        };
        let Some(appended) = appended else { return Ok(None) };
        if !rows.is_empty() {
            // What was there is there; and an erasure may take it away.
            needed = &none;
        }
        positions.extend(appended);
        if let Some(erasure) = erasure {
            writes::erase(&transaction, erasure).await?;
        }
    }
    if plan.health {
        writes::health(&transaction).await?;
    }
    transaction.commit().await?;
    Ok(Some(positions))
}
