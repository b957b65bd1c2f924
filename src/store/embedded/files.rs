//! The directory, its lock, the schema, and how connections are set up.
//!
//! Invariant: one process has the directory, by a lock that the operating system drops with the process, so there is
//! never a stale one; a database of a newer program is left exactly as it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;

/// Name of the database in the directory. SQLite puts `-wal` and `-shm` beside it while it is open.
pub(super) const DATABASE: &str = "eddyline.db";
const LOCK: &str = "eddyline.lock";
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENTS_CACHED: usize = 64;

mod embedded_migrations {
    refinery::embed_migrations!("sql/migrations/sqlite");
}

/// Makes the directory where it is missing, durably, and takes it for this process. Dropping the file gives it back.
pub(super) fn take(directory: &Path) -> Result<File, StoreError> {
    let unusable = |error: io::Error| StoreError::Unavailable(format!("directory {}: {error}", directory.display()));
    create(directory).map_err(unusable)?;
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).open(directory.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(directory.display().to_string())),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// A directory is as durable as its entry in its parent, so each parent of a new one is synced.
fn create(directory: &Path) -> io::Result<()> {
    let missing: Vec<PathBuf> =
        directory.ancestors().take_while(|path| !path.exists()).map(Path::to_path_buf).collect();
    fs::create_dir_all(directory)?;
    #[cfg(unix)]
    if !missing.is_empty() {
        use std::os::unix::fs::PermissionsExt as _;
        // It will hold keys: nobody else's business. A directory that was there keeps the mode that its owner chose.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    if cfg!(unix) {
        for made in missing.iter().rev() {
            let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

/// The one connection that writes, with the schema brought up to date.
pub(super) fn writer(database: &Path) -> Result<Connection, StoreError> {
    // Without `SQLITE_OPEN_URI`: a path is a path, whatever characters it has.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(database, flags)?;
    refuse_newer(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let text = format!("{} cannot keep a write-ahead log: choose a directory on a local disk", database.display());
        return Err(StoreError::Unavailable(text));
    }
    prepare(&connection, 64 * 1024)?;
    // FULL: each commit waits for fsync of the log. fullfsync: on macOS, fsync alone leaves it in the drive's cache.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;",
    )?;
    embedded_migrations::migrations::runner().run(&mut connection).map_err(|error| {
        let divergent = matches!(
            error.kind(),
            refinery::error::Kind::DivergentVersion(..) | refinery::error::Kind::MissingVersion(_)
        );
        if divergent {
            StoreError::Corrupt { table: "refinery_schema_history", detail: error.to_string() }
        } else {
            StoreError::Unavailable(format!("the schema could not be brought up to date: {error}"))
        }
    })?;
    // Of an earlier run that was killed, maybe right after an erasure.
    super::erasure::forget_log(&connection);
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn reader(database: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    prepare(&connection, 8 * 1024)?;
    Ok(connection)
}

fn prepare(connection: &Connection, cache_kib: i32) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

fn refuse_newer(connection: &Connection) -> Result<(), StoreError> {
    let history = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'";
    if connection.query_row(history, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(());
    }
    let newest = "SELECT COALESCE(MAX(version), 0) FROM refinery_schema_history";
    let found = connection.query_row(newest, [], |row| row.get::<_, u32>(0))?;
    let known = known_version();
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(()) }
}

fn known_version() -> u32 {
    let runner = embedded_migrations::migrations::runner();
    let newest = runner.get_migrations().iter().map(refinery::Migration::version).max();
    newest.and_then(|version| u32::try_from(version).ok()).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Name and text of everything in a schema, without comments and layout.
    fn objects(connection: &Connection) -> Vec<(String, String)> {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' \
                   AND name <> 'refinery_schema_history' ORDER BY name";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).unwrap();
        rows.map(|row| {
            let (name, sql): (String, String) = row.unwrap();
            let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
            // A column that was added later has its comma and brace elsewhere.
            let text = lines.collect::<Vec<_>>().join(" ").replace(',', " , ").replace(')', " ) ");
            (name, text.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
    }

    #[test]
    fn schema_sql_is_what_the_migrations_make() {
        let directory = tempfile::tempdir().unwrap();
        let migrated = writer(&directory.path().join(DATABASE)).unwrap();
        let read = Connection::open_in_memory().unwrap();
        read.execute_batch(include_str!("../../../sql/schema.sql")).unwrap();
        assert_eq!(objects(&read), objects(&migrated), "left: sql/schema.sql, right: sql/migrations/sqlite");
    }

    /// `$n` is a name to SQLite and a number to Postgres: only in this order do both mean the same.
    #[test]
    fn parameters_of_every_query_first_appear_in_order_and_are_explained() {
        let directory = tempfile::tempdir().unwrap();
        let connection = writer(&directory.path().join(DATABASE)).unwrap();
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/queries");
        for file in fs::read_dir(queries).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                continue; // Of the other store.
            }
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(text.starts_with("-- "), "{name} must open with what it does");
            let header: String = text.lines().take_while(|line| line.starts_with("--")).collect();
            let statement = connection.prepare(&text).map_err(|error| format!("{name}: {error}")).unwrap();
            for index in 1..=statement.parameter_count() {
                let parameter = format!("${index}");
                assert_eq!(statement.parameter_name(index), Some(&*parameter), "{name}");
                assert!(header.contains(&format!("{parameter} ")), "{name} must explain {parameter}");
            }
            for column in statement.column_names() {
                assert!(header.contains(column) || header.contains("journal_append.sql"), "{name} must list {column}");
            }
        }
    }

    #[test]
    fn a_commit_waits_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let connection = writer(&directory.path().join(DATABASE)).unwrap();
        for (pragma, expected) in
            [("synchronous", 2), ("wal_autocheckpoint", 1000), ("foreign_keys", 1), ("secure_delete", 1)]
        {
            let found: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
            assert_eq!(found, expected, "{pragma}");
        }
    }
}
