//! Migrations, and what we ask of a database before we use it.
//!
//! Invariant: a migration and its version are committed together, under a lock that only one process has, so any number
//! may start at once; a database of a newer program is left exactly as it is. Absent on purpose: ways back.

use refinery::{Migration, Runner};
use tokio_postgres::error::SqlState;

use super::pool::Client;
use crate::store::StoreError;

mod embedded_migrations {
    refinery::embed_migrations!("sql/migrations/postgres");
}

const SERVER_FACTS: &str = include_str!("../../../sql/queries/postgres/server_facts.sql");

/// The lock of whoever migrates: "EDDY" and 1.
pub const MIGRATION_LOCK: i64 = 0x4544_4459_0000_0001;
/// Waits for it. Nobody keeps it for longer than a migration takes.
pub const LOCK_WAIT: &str = "SELECT pg_advisory_lock($1)";
/// Gives it back.
pub const LOCK_RELEASE: &str = include_str!("../../../sql/queries/postgres/lock_release.sql");
/// The newest version in the database; an error (undefined table) in an empty one.
pub const VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM refinery_schema_history";
/// A migration may take long.
pub const NO_TIMEOUT: &str = "SET statement_timeout = 0; SET lock_timeout = 0";

/// All migrations; each is committed together with its version.
#[must_use]
pub fn runner() -> Runner {
    embedded_migrations::migrations::runner()
}

/// The newest version that this program knows.
#[must_use]
pub fn known_version() -> u32 {
    let newest = runner().get_migrations().iter().map(Migration::version).max();
    newest.and_then(|version| u32::try_from(version).ok()).unwrap_or(0)
}

/// Compares the version in the database with ours.
///
/// # Errors
/// [`StoreError::Newer`].
pub fn check_version(found: i32) -> Result<u32, StoreError> {
    let (found, known) = (u32::try_from(found).unwrap_or(0), known_version());
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(found) }
}

/// What a failed run means.
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
            // Rights, names, statements: trying again does not help. All else may pass.
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

/// Brings the schema up to date. The client is spoilt for other work: timeouts are off.
pub(super) async fn migrate(client: &mut Client) -> Result<(), StoreError> {
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
        tracing::warn!("the database runs with fsync = off: a power cut may take what was acknowledged");
    }
    client.batch_execute(NO_TIMEOUT).await?;
    client.execute(LOCK_WAIT, &[&MIGRATION_LOCK]).await?;
    let applied = apply(client).await;
    // Gone with the connection in any case.
    let _ = client.execute(LOCK_RELEASE, &[&MIGRATION_LOCK]).await;
    applied
}

async fn apply(client: &mut Client) -> Result<(), StoreError> {
    match client.query_one(VERSION, &[]).await {
        Ok(row) if check_version(row.try_get(0)?)? == known_version() => return Ok(()),
        Ok(_) => {}
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {}
        Err(error) => return Err(error.into()),
    }
    let report = runner().run_async(&mut ***client).await.map_err(|error| failure(&error))?;
    for migration in report.applied_migrations() {
        tracing::info!(%migration, "schema brought up to date");
    }
    Ok(())
}
