//! The connection of the writer and its transactions.
//!
//! Invariant: the writer holds an advisory lock, which Postgres releases only with the connection. So after a lost
//! connection, when a new one has the lock, the last transaction is either committed or rolled back. Each opened store
//! begins a term. A store that finds a later term than its own has been replaced: it reports that and writes no more.
//! Isolation: read committed, the default; no other process writes the rows that are read here.
//! Absent on purpose: the queue.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::append::{self, Appended, Needed};
use super::failures::{late, while_connecting};
use super::plan::{self, NoPlan, Plan, Stored};
use super::pool::Client;
use super::settings::PostgresSettings;
use super::{rows, schema, writes};
use crate::domain::ids::{Position, Seq, UserId};
use crate::store::error::StoreError;
use crate::store::group::{Call, Work};
use crate::store::journal::{Outcome, Write};
use crate::store::tail_cache::TailCache;

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

/// Key of the advisory lock of the writer: "EDDY" and 2.
const WRITER_LOCK: i64 = 0x4544_4459_0000_0002;
/// Pause between two attempts to take the lock.
const LOCK_POLL: Duration = Duration::from_millis(25);

/// The connection that holds the writer lock, and the caches of the writer.
pub(super) struct WriterConnection {
    pool: Pool,
    client: Option<Client>,
    /// Postgres process id of the last connection of this store that held the lock.
    process: Option<i32>,
    /// Term of this store; 0 before it begins.
    term: i64,
    tails: TailCache,
    /// All erased people. Unlike `tails` it is complete, since it keeps erased people from coming back.
    erased: HashSet<UserId>,
    /// The server that replaced this one.
    replaced: watch::Sender<Option<String>>,
    settings: PostgresSettings,
}

impl WriterConnection {
    /// Brings the schema up to date, takes the lock and begins a term. `pool` holds one connection.
    pub(super) async fn open(pool: Pool, settings: &PostgresSettings) -> Result<WriterConnection, StoreError> {
        let mut client = pool.get().await?;
        schema::migrate(&mut client).await?;
        // The connection has its timeouts off and may still hold the migration lock.
        drop(Object::take(client));
        let mut connection = WriterConnection {
            pool,
            client: None,
            process: None,
            term: 0,
            tails: TailCache::default(),
            erased: HashSet::new(),
            replaced: watch::Sender::default(),
            settings: settings.clone(),
        };
        let client = timeout(settings.patience() + Duration::from_millis(settings.lock_wait_ms), connection.take())
            .await
            .map_err(|_| late())??;
        connection.term = client.query_one(WRITER_BEGIN_TERM, &[]).await?.try_get(0)?;
        connection.begin(client).await?;
        Ok(connection)
    }

    /// Watches for the server that replaces this one.
    pub(super) fn replaced(&self) -> watch::Receiver<Option<String>> {
        self.replaced.subscribe()
    }

    /// Checks an idle connection; reconnects and checks the term when it is lost.
    pub(super) async fn check(&mut self) {
        if let Err(error) = self.connect().await {
            tracing::debug!(%error, "the database cannot be reached");
        }
    }

    /// Releases the lock and closes the connection.
    pub(super) async fn close(mut self) {
        if let Some(client) = self.client.take() {
            // Postgres releases the lock with the connection anyway; this spares the next server the wait.
            let _ = timeout(Duration::from_secs(1), client.execute(LOCK_RELEASE, &[&WRITER_LOCK])).await;
            drop(Object::take(client));
        }
    }

    /// Stores a group in one transaction. After `Refused` nothing was stored. After any other error the group may be
    /// stored; a retry with identical entries gets the truth.
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
            // Postgres has rolled the transaction back.
            Err(StoreError::Refused(_)) => {}
            Err(_) => {
                self.tails.mark_in_doubt(group);
                self.abandon();
            }
        }
        committed
    }

    /// Reconnects and takes the lock, unless the connection is alive.
    async fn connect(&mut self) -> Result<(), StoreError> {
        if self.client.as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(());
        }
        self.abandon();
        let limit = self.settings.patience();
        let client = timeout(limit, self.take()).await.map_err(|_| late())??;
        let is_ours = timeout(limit, self.is_ours(&client)).await.unwrap_or_else(|_| Err(late()));
        match is_ours {
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

    /// Whether the term in the database is still that of this store.
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
        // Earlier members stay: no erased person comes back.
        for row in &erased {
            self.erased.insert(UserId(rows::number("users", row, 0)?));
        }
        self.tails.last = Some(Position(last.unwrap_or(0).cast_unsigned()));
        self.client = Some(client);
        Ok(())
    }

    /// Opens a connection and takes the lock.
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
            // A lost connection of this store may hold the lock until Postgres notices the loss.
            if let Some(process) = self.process.take() {
                client.execute(LOCK_FREE, &[&WRITER_LOCK, &i64::from(process)]).await?;
            }
            let (began, is_late) = (self.term > 0, Instant::now() >= deadline);
            let replaced = began && !self.is_ours(client).await?;
            if replaced || is_late {
                let holder = client.query_opt(LOCK_HOLDER, &[&WRITER_LOCK]).await?;
                let holder = holder.and_then(|row| row.try_get::<_, String>(0).ok());
                let holder = holder.unwrap_or_else(|| "a server that has ended since".into());
                return Err(match (replaced, began) {
                    (true, _) => self.give_up(holder),
                    // A lost connection of this store holds the lock, or a new server without a term yet.
                    (false, true) => {
                        StoreError::Unavailable(format!("the right to write is with {holder}: waiting for it"))
                    }
                    (false, false) => StoreError::Locked(format!("the database, held by {holder},")),
                });
            }
            sleep(LOCK_POLL).await;
        }
        self.process = client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
        Ok(())
    }

    /// Drops the connection, whatever its state.
    fn abandon(&mut self) {
        self.tails.clear();
        if let Some(client) = self.client.take() {
            // Not back to the pool: the connection may still hold the lock and a transaction.
            drop(Object::take(client));
        }
    }

    async fn try_commit(&mut self, group: &[Call]) -> Result<Vec<Vec<Outcome>>, StoreError> {
        let Some(client) = &mut self.client else { return Err(late()) };
        let last = self.tails.last.unwrap_or_default();
        let known = last_seqs(client, &mut self.tails, &self.erased, group, Trust::Callers).await?;
        match Plan::new(group, &self.tails, known.seqs, None) {
            Ok(plan) => match write(client, &plan, &known.needed, last).await {
                Ok(Some(positions)) => return Ok(plan.settle(&mut self.tails, &positions)),
                // A number is not the next one of its person: look the events up below.
                Ok(None) => {}
                // A number or an event id is taken: look the events up below. A taken key fails again there.
                Err(StoreError::Refused(why)) if !plan.journal.is_empty() && why.contains("journal_by_user_") => {}
                Err(error) => return Err(error),
            },
            Err(NoPlan::Refused(error)) => return Err(error),
            Err(NoPlan::NeedsLookup) => {}
        }
        let known = last_seqs(client, &mut self.tails, &self.erased, group, Trust::Database).await?;
        let looked = plan_with_lookup(client, &self.tails, known.seqs, group).await?;
        let positions = write(client, &looked, &known.needed, last).await?.ok_or_else(late)?;
        Ok(looked.settle(&mut self.tails, &positions))
    }
}

/// The source of a last number that is not cached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The first entry of the group: it is assumed to be the next one, and the append itself checks that.
    Callers,
    /// A query of the journal.
    Database,
}

/// The last numbers of all people of a group. Assumed ones hold if the journal has the `needed` entries.
struct Known {
    seqs: HashMap<UserId, Seq>,
    needed: Needed,
}

async fn last_seqs(
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
            // Before 0 no entry is needed: a free first number proves that the person has no entries.
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
        // The query returns ids of its parameter, so each fits a `UserId`.
        let user = UserId(user as u32);
        let seq = Seq(seq.unwrap_or(0).cast_unsigned());
        tails.set(user, seq);
        known.seqs.insert(user, seq);
    }
    Ok(known)
}

/// The number before the first entry of each person, for [`Trust::Callers`]. Empty with an erasure, which moves the
/// end. Leaves out people with a snapshot in the group, since a snapshot is compared with the end.
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

/// Plans a group after a lookup of its stored events.
async fn plan_with_lookup<'g>(
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
        NoPlan::NeedsLookup => late(),
    })
}

/// Writes a plan. `last` is the last position of the journal. `None` when a needed entry is missing, and nothing was
/// written.
async fn write(client: &mut Client, plan: &Plan<'_>, needed: &Needed, last: Position) -> Result<Appended, StoreError> {
    if plan.is_plain() && plan.journal.len() < append::COPY_ROWS_MIN {
        // One statement is a transaction by itself, in one round trip.
        return append::insert(&*client, &plan.journal, needed).await;
    }
    let transaction = client.transaction().await?;
    let mut positions: Vec<Position> = Vec::with_capacity(plan.journal.len());
    let (mut needed, none) = (needed, Needed::default());
    let parts = plan.parts.iter().map(|part| (&part.tables, part.journal_end, Some(part.erasure)));
    for (tables, end, erasure) in parts.chain([(&plan.tables, plan.journal.len(), None)]) {
        writes::others(&transaction, tables).await?;
        let rows = &plan.journal[positions.len()..end];
        let appended = if rows.len() < append::COPY_ROWS_MIN {
            append::insert(&transaction, rows, needed).await?
        } else {
            append::copy(&transaction, rows, needed, positions.last().copied().unwrap_or(last)).await?
        };
        let Some(appended) = appended else { return Ok(None) };
        if !rows.is_empty() {
            // The first append has checked the needed entries, and a later erasure may delete them.
            needed = &none;
        }
        positions.extend(appended);
        // After the append: the load of a dump brings an entry and its cancellation in one group.
        writes::cancel(&transaction, tables).await?;
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
