//! Migrations of the Postgres store, and checks of the database server.
//!
//! Invariant: a migration and its version are committed together, under a lock that one process holds. So any number of
//! processes may start at once, and the next start continues after any crash. A database of a newer program keeps its
//! schema.
//!
//! `db migrate` of earlier programs committed a migration and its version separately. When it ended in between, the
//! whole migration is there, and `migrate` adds its version. Absent on purpose: downgrades.

use std::collections::BTreeSet;

use refinery::{Migration, Runner, Target};
use tokio_postgres::error::SqlState;

use super::pool::Client;
use super::text_index;
use crate::store::error::StoreError;

mod embedded_migrations {
    refinery::embed_migrations!("../../sql/migrations/postgres");
}

const SERVER_FACTS: &str = include_str!("../../../sql/queries/postgres/server_facts.sql");

/// Key of the advisory lock for migrations: "EDDY" and 1.
pub(crate) const MIGRATION_LOCK: i64 = 0x4544_4459_0000_0001;
/// Waits for an advisory lock. A process holds the migration lock only while it migrates.
pub(crate) const LOCK_WAIT: &str = "SELECT pg_advisory_lock($1)";
/// Releases an advisory lock of this session.
pub(crate) const LOCK_RELEASE: &str = include_str!("../../../sql/queries/postgres/lock_release.sql");
/// Selects the schema version of the database; fails with `undefined_table` in an empty one.
pub const VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM refinery_schema_history";
/// Turns timeouts off, since a migration may take long.
pub const NO_TIMEOUT: &str = "SET statement_timeout = 0; SET lock_timeout = 0";

/// Selects names of tables and indexes, and columns of tables, in the schema that new tables go to.
const FACTS: &str = include_str!("../../../sql/queries/postgres/schema_facts.sql");
/// The last migration that an earlier program could leave without its version. Later ones are committed with it.
const HALF_WAY_MAX: i32 = 7;

/// The runner of all migrations. Only `run_async` commits each migration together with its version.
fn runner() -> Runner {
    embedded_migrations::migrations::runner()
}

/// The newest schema version that this program knows.
#[must_use]
pub fn known_version() -> u32 {
    let newest = runner().get_migrations().iter().map(Migration::version).max();
    newest.and_then(|version| u32::try_from(version).ok()).unwrap_or(0)
}

/// Compares the schema version of the database with the known one.
///
/// # Errors
/// [`StoreError::Newer`] when a newer program wrote the database.
pub fn check_version(found: i32) -> Result<u32, StoreError> {
    let (found, known) = (u32::try_from(found).unwrap_or(0), known_version());
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(found) }
}

/// Converts the error of a failed migration.
#[must_use]
pub fn failure(error: &refinery::Error) -> StoreError {
    let divergent =
        matches!(error.kind(), refinery::error::Kind::DivergentVersion(..) | refinery::error::Kind::MissingVersion(_));
    if divergent {
        return StoreError::Corrupt { table: "refinery_schema_history", detail: error.to_string() };
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(database) = inner.downcast_ref::<tokio_postgres::Error>() {
            let code = database.code().map_or("", SqlState::code);
            let text = format!("the schema could not be brought up to date: {}", source_text(database));
            // Privileges, names, statements: a retry does not help. All other errors may pass.
            return match code.get(..2) {
                Some("42" | "0A" | "22" | "23") => StoreError::Refused(text),
                _ => StoreError::Unavailable(text),
            };
        }
        cause = inner.source();
    }
    StoreError::Unavailable(format!("the schema could not be brought up to date: {error}"))
}

fn source_text(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |inner| format!("{} ({})", inner.message(), inner.code().code()))
}

/// Brings the schema up to date; returns the version before and after. Leaves the timeouts of the connection off, so
/// the caller closes it.
pub(super) async fn migrate(client: &mut Client) -> Result<(u32, u32), StoreError> {
    let facts = client.query_one(SERVER_FACTS, &[]).await?;
    let (version, encoding, fsync): (i64, &str, &str) = (facts.try_get(0)?, facts.try_get(1)?, facts.try_get(2)?);
    if version < 150_000 {
        return Err(StoreError::Refused(format!("Postgres {} is too old: 15 or newer is needed", version / 10_000)));
    }
    if encoding != "UTF8" {
        return Err(StoreError::Refused(format!(
            "the database is encoded in {encoding}: make one with ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    if fsync == "off" {
        tracing::warn!(
            "the database runs with fsync = off: a power cut may lose acknowledged writes, so turn fsync on"
        );
    }
    client.batch_execute(NO_TIMEOUT).await?;
    client.execute(LOCK_WAIT, &[&MIGRATION_LOCK]).await?;
    let applied = match apply(client).await {
        Ok(versions) => text_index::fill(client).await.map(|()| versions),
        Err(error) => Err(error),
    };
    // Postgres releases the lock with the connection anyway.
    let _ = client.execute(LOCK_RELEASE, &[&MIGRATION_LOCK]).await;
    applied
}

async fn apply(client: &mut Client) -> Result<(u32, u32), StoreError> {
    let before = match client.query_one(VERSION, &[]).await {
        Ok(row) => check_version(row.try_get(0)?)?,
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => 0,
        Err(error) => return Err(error.into()),
    };
    let known = known_version();
    if before == known {
        return Ok((before, known));
    }
    let mut report = runner().run_async(&mut ***client).await;
    if report.as_ref().is_err_and(is_there_already) && complete(client).await? {
        report = runner().run_async(&mut ***client).await;
    }
    for migration in report.map_err(|error| failure(&error))?.applied_migrations() {
        tracing::info!(%migration, "schema brought up to date");
    }
    Ok((before, known))
}

/// Whether a migration failed since an object of that name exists.
fn is_there_already(error: &refinery::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(code) = inner.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code) {
            return [SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_COLUMN, SqlState::DUPLICATE_OBJECT].contains(code);
        }
        cause = inner.source();
    }
    false
}

/// Adds the version of the next migration when all its objects exist; `false` when one is missing. Runs the migration
/// in a scratch schema to list its objects, and rolls that back.
async fn complete(client: &mut Client) -> Result<bool, StoreError> {
    let version: i32 = client.query_one(VERSION, &[]).await?.try_get(0)?;
    let mut migrations = runner().get_migrations().clone();
    migrations.sort();
    let next = migrations.iter().position(|one| one.version() > version && one.version() <= HALF_WAY_MAX);
    let Some(next) = next else { return Ok(false) };
    let there = facts(&***client).await?;
    let scratch = tokio_postgres::Client::transaction(client).await?;
    scratch.batch_execute("CREATE SCHEMA eddyline_scratch; SET LOCAL search_path = eddyline_scratch").await?;
    for migration in &migrations[..next] {
        scratch.batch_execute(migration.sql().unwrap_or_default()).await?;
    }
    let before = facts(&scratch).await?;
    scratch.batch_execute(migrations[next].sql().unwrap_or_default()).await?;
    let after = facts(&scratch).await?;
    scratch.rollback().await?;
    if !after.difference(&before).all(|fact| there.contains(fact)) {
        return Ok(false);
    }
    let target = Target::FakeVersion(migrations[next].version());
    runner().set_target(target).run_async(&mut ***client).await.map_err(|error| failure(&error))?;
    tracing::warn!(migration = %migrations[next], "completed a migration that an earlier program left half-way");
    Ok(true)
}

async fn facts(client: &impl tokio_postgres::GenericClient) -> Result<BTreeSet<String>, StoreError> {
    let mut facts = BTreeSet::new();
    for row in client.query(FACTS, &[]).await? {
        facts.insert(row.try_get(0)?);
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A migration that ends its transaction, or cannot run in one, would be committed without its version.
    #[test]
    fn no_migration_leaves_its_transaction() {
        for migration in runner().get_migrations() {
            let words = migration.sql().unwrap_or_default().lines().filter(|line| !line.trim_start().starts_with("--"));
            let text = words.collect::<Vec<_>>().join("\n").to_uppercase();
            for statement in text.split(';') {
                let first = statement.split_whitespace().next().unwrap_or_default();
                let leaves = ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "VACUUM", "REINDEX"];
                assert!(!leaves.contains(&first), "{migration}: {first} in a migration");
            }
            assert!(!text.contains("CONCURRENTLY"), "{migration}: CONCURRENTLY in a migration");
        }
    }
}
