//! Migrations of the embedded store.
//!
//! Invariant: a migration and its row in the history are one transaction, so the next start continues after any crash.
//! Table, names and checksums of the history are those of refinery.
//!
//! Earlier programs committed a migration and its row separately. `run` completes a store that such a program left in
//! between. It computes the effect of each statement on an empty database in memory, and skips statements whose effect
//! is there. Absent on purpose: downgrades.

use std::collections::BTreeSet;

use refinery::Migration;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::{Batch, Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::layout::DATABASE;
use crate::store::error::StoreError;

mod embedded_migrations {
    refinery::embed_migrations!("../../sql/migrations/sqlite");
}

const HISTORY: &str = "refinery_schema_history";
/// The history table exactly as refinery creates it, so that older programs read it.
const HISTORY_CREATE: &str = "CREATE TABLE IF NOT EXISTS refinery_schema_history (
    version int4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255))";
const HISTORY_INSERT: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
    VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?3)";
const HISTORY_LIST: &str = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";
const HISTORY_IS_THERE: &str = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'";
/// Names of all objects in the schema, and columns of all tables.
const FACTS: &str = "SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'
    UNION ALL SELECT 'column ' || t.name || '.' || c.name
    FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'";

/// The last migration that an earlier program could leave without its row. Later ones are committed with their row.
const HALF_WAY_MAX: i32 = 7;

/// All migrations, by version.
pub(super) fn all() -> Vec<Migration> {
    let mut migrations = embedded_migrations::migrations::runner().get_migrations().clone();
    migrations.sort();
    migrations
}

/// The newest schema version that this program knows.
pub(super) fn known_version() -> u32 {
    all().last().and_then(|newest| u32::try_from(newest.version()).ok()).unwrap_or(0)
}

/// The schema version of the database; 0 in an empty one.
pub(super) fn version(connection: &Connection) -> Result<u32, StoreError> {
    let rows = history(connection)?;
    Ok(rows.last().and_then(|row| u32::try_from(row.0).ok()).unwrap_or(0))
}

/// Brings the schema up to date.
pub(super) fn run(connection: &mut Connection) -> Result<(), StoreError> {
    run_until(connection, i32::MAX)
}

/// Brings the schema to a version, or to the newest one before it.
pub(super) fn run_until(connection: &mut Connection, last: i32) -> Result<(), StoreError> {
    let migrations = all();
    let applied = verified(connection, &migrations)?;
    let (before, pending) = migrations.split_at(applied);
    let pending: Vec<&Migration> = pending.iter().take_while(|one| one.version() <= last).collect();
    if pending.is_empty() {
        return Ok(());
    }
    let scratch = Connection::open_in_memory().map_err(failed)?;
    for migration in before {
        scratch.execute_batch(sql(migration)).map_err(failed)?;
    }
    for migration in pending {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute_batch(HISTORY_CREATE).map_err(failed)?;
        if migration.version() <= HALF_WAY_MAX {
            complete(&transaction, &scratch, migration)?;
        } else {
            transaction.execute_batch(sql(migration)).map_err(failed)?;
        }
        let row = params![migration.version(), migration.name(), migration.checksum().to_string()];
        transaction.execute(HISTORY_INSERT, row).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        tracing::debug!(%migration, "schema brought up to date");
    }
    Ok(())
}

/// Version, name and checksum of an applied migration.
type HistoryRow = (i32, Option<String>, Option<String>);

fn history(connection: &Connection) -> Result<Vec<HistoryRow>, StoreError> {
    if connection.query_row(HISTORY_IS_THERE, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(HISTORY_LIST)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The number of applied migrations, after a check of their names and checksums.
fn verified(connection: &Connection, migrations: &[Migration]) -> Result<usize, StoreError> {
    let rows = history(connection)?;
    for (index, (version, name, checksum)) in rows.iter().enumerate() {
        let fits = migrations.get(index).is_some_and(|known| {
            known.version() == *version
                && name.as_deref() == Some(known.name())
                && checksum.as_deref() == Some(&*known.checksum().to_string())
        });
        if !fits {
            let name = name.as_deref().unwrap_or("without a name");
            let detail = format!("migration {version} ({name}) is not the one that this program knows at its place");
            return Err(StoreError::Corrupt { table: HISTORY, detail });
        }
    }
    Ok(rows.len())
}

/// Executes the statements of a migration in both databases; in the real one only those without an effect so far.
fn complete(transaction: &Transaction<'_>, scratch: &Connection, migration: &Migration) -> Result<(), StoreError> {
    let there = facts(transaction)?;
    let mut skipped = 0;
    let mut before = facts(scratch)?;
    let mut batch = Batch::new(scratch, sql(migration));
    while let Some(mut statement) = batch.next().map_err(failed)? {
        let text = statement.expanded_sql().unwrap_or_default();
        statement.execute([]).map_err(failed)?;
        drop(statement);
        let after = facts(scratch)?;
        let made: BTreeSet<&String> = after.difference(&before).collect();
        let found = made.iter().filter(|fact| there.contains(**fact)).count();
        if found == 0 {
            transaction.execute_batch(&text).map_err(failed)?;
        } else if found == made.len() {
            skipped += 1;
        } else {
            let what = made.first().map_or("something", |fact| fact.as_str());
            let detail = format!("{what} is there and is not that of this program: choose an empty directory");
            return Err(StoreError::Corrupt { table: DATABASE, detail });
        }
        before = after;
    }
    if skipped > 0 {
        tracing::warn!(%migration, statements = skipped, "completed a migration that an earlier program left half-way");
    }
    Ok(())
}

fn facts(connection: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let mut statement = connection.prepare(FACTS).map_err(failed)?;
    let rows = statement.query_map([], |row| row.get(0)).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

fn sql(migration: &Migration) -> &str {
    migration.sql().unwrap_or_default()
}

fn failed(error: rusqlite::Error) -> StoreError {
    let why = |text: String| format!("the schema could not be brought up to date: {text}");
    match StoreError::from(error) {
        StoreError::Unavailable(text) => StoreError::Unavailable(why(text)),
        StoreError::Refused(text) => StoreError::Refused(why(text)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Objects and history of a database, without the instants of its migrations.
    fn schema(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT sql FROM sqlite_schema ORDER BY type, name").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
        let mut all: Vec<String> = rows.filter_map(Result::unwrap).collect();
        all.extend(history(connection).unwrap().iter().map(|row| format!("{row:?}")));
        all
    }

    fn newest() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection).unwrap();
        connection
    }

    /// The statements of a migration, one text each.
    fn statements(version: i32) -> Vec<String> {
        let migrations = all();
        let scratch = Connection::open_in_memory().unwrap();
        for migration in migrations.iter().take_while(|one| one.version() < version) {
            scratch.execute_batch(sql(migration)).unwrap();
        }
        let own = migrations.iter().find(|one| one.version() == version).unwrap();
        let (mut batch, mut texts) = (Batch::new(&scratch, sql(own)), Vec::new());
        while let Some(mut statement) = batch.next().unwrap() {
            texts.push(statement.expanded_sql().unwrap());
            statement.execute([]).unwrap();
        }
        texts
    }

    #[test]
    fn a_store_that_was_left_anywhere_within_a_migration_is_completed_with_its_data() {
        let expected = schema(&newest());
        for version in 1..=HALF_WAY_MAX {
            let texts = statements(version);
            for count in 0..=texts.len() {
                let mut connection = Connection::open_in_memory().unwrap();
                run_until(&mut connection, version - 1).unwrap();
                connection.execute_batch(HISTORY_CREATE).unwrap();
                for text in &texts[..count] {
                    connection.execute_batch(text).unwrap();
                }
                let has_users = version > 1 || count > 0;
                if has_users {
                    let row = "INSERT INTO users (id, key, partition, created) VALUES (0, 'ada', 1, 1)";
                    connection.execute_batch(row).unwrap();
                }
                run(&mut connection).unwrap();
                assert_eq!(schema(&connection), expected, "after {count} statements of migration {version}");
                let people: u32 = connection.query_row("SELECT COUNT(*) FROM users", [], |row| row.get(0)).unwrap();
                assert_eq!(people, u32::from(has_users), "after {count} statements of migration {version}");
            }
        }
    }

    #[test]
    fn foreign_tables_are_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE users (id INTEGER, telephone TEXT)").unwrap();
        let refused = run(&mut connection);
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
        assert_eq!(facts(&connection).unwrap().len(), 3, "nothing was changed");
    }

    #[test]
    fn a_history_that_was_changed_by_hand_is_refused() {
        for change in [
            "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2",
            "UPDATE refinery_schema_history SET checksum = 'none' WHERE version = 2",
            "UPDATE refinery_schema_history SET applied_on = 'yesterday', name = NULL WHERE version = 3",
            "DELETE FROM refinery_schema_history WHERE version = 2",
        ] {
            let mut connection = newest();
            connection.execute_batch(change).unwrap();
            let refused = run(&mut connection);
            assert!(matches!(refused, Err(StoreError::Corrupt { table: HISTORY, .. })), "{change}: {refused:?}");
        }
    }

    /// A migration that ends its transaction, or cannot run in one, would be committed without its row.
    #[test]
    fn no_migration_leaves_its_transaction() {
        for migration in all() {
            let words = sql(&migration).lines().filter(|line| !line.trim_start().starts_with("--"));
            for statement in words.collect::<Vec<_>>().join("\n").split(';') {
                let first = statement.split_whitespace().next().unwrap_or_default().to_uppercase();
                let leaves =
                    ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "PRAGMA", "VACUUM", "ATTACH", "DETACH"];
                assert!(!leaves.contains(&&*first), "{migration}: {first} in a migration");
            }
        }
    }
}
