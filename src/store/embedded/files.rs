//! The directory of a store, its lock, and the setup of connections.
//!
//! Invariant: one process owns the directory, by a lock that the operating system releases with the process, so no lock
//! is ever stale. A database of a newer program stays byte for byte. A directory that has held a store never becomes an
//! empty store: the lock file has a mark from the end of the first start on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::layout::{BUSY_TIMEOUT, DATABASE, LOCK};
use super::{migrations, text_index, wal};
use crate::store::error::StoreError;

/// Content of the lock file once the database beside it has a schema.
const MARK: &str = "This directory holds a store: its data is in eddyline.db.\n";
const STATEMENTS_CACHED: usize = 64;

/// Exclusive ownership of a directory; dropping it releases the lock.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// Whether the directory has held a store before.
    is_marked: bool,
}

/// Creates the directory where it is missing, durably, and locks it for this process.
pub(super) fn take(directory: &Path) -> Result<Lock, StoreError> {
    let unusable = |error: io::Error| StoreError::Unavailable(format!("directory {}: {error}", directory.display()));
    create(directory).map_err(unusable)?;
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(directory.join(LOCK)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {
            let is_marked = file.metadata().map_err(unusable)?.len() > 0;
            Ok(Lock { file, is_marked })
        }
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(directory.display().to_string())),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

impl Lock {
    /// Rejects a database that is missing or empty in a directory that has held a store.
    fn require_database(&self, database: &Path) -> Result<(), StoreError> {
        let size = |path: &Path| fs::metadata(path).map(|found| found.len()).ok();
        // A log with pages proves that the database had a first page.
        let has_log = size(&beside(database, "-wal")).is_some_and(|bytes| bytes > 0);
        match size(database) {
            None | Some(0) if self.is_marked || has_log => {
                let how = if database.exists() { "is empty" } else { "is missing" };
                Err(gone(database, how))
            }
            _ => Ok(()),
        }
    }

    /// Marks the directory, durably, as one that holds a store.
    fn mark(&mut self) -> io::Result<()> {
        if !self.is_marked {
            self.file.write_all(MARK.as_bytes())?;
            self.file.sync_all()?;
            self.is_marked = true;
        }
        Ok(())
    }
}

fn gone(database: &Path, how: &str) -> StoreError {
    let directory = database.parent().unwrap_or(Path::new("."));
    StoreError::Gone(format!(
        "{} {how}, but {} has held a store: restore it from a backup, or empty the directory to begin a new store",
        database.display(),
        directory.display()
    ))
}

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Identities of the files of an open store, to detect a deleted or replaced file before the next commit.
///
/// SQLite keeps writing to a deleted file. Writes acknowledged there would be lost with the process.
#[derive(Debug)]
pub(super) struct Files(Vec<(PathBuf, FileId)>);

/// Device number and inode number of a file.
type FileId = (u64, u64);

impl Files {
    pub(super) fn of(database: &Path) -> Result<Files, StoreError> {
        let lock = database.with_file_name(LOCK);
        let files = [database.to_owned(), beside(database, "-wal"), lock].map(|path| match id(&path) {
            Ok(id) => Ok((path, id)),
            Err(error) => Err(StoreError::Unavailable(format!("{}: {error}", path.display()))),
        });
        Ok(Files(files.into_iter().collect::<Result<_, _>>()?))
    }

    /// Fails when a file was deleted or replaced.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for (path, known) in &self.0 {
            match id(path) {
                Ok(found) if found == *known => {}
                // A directory that is unreadable for a moment was not deleted.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                _ => {
                    return Err(StoreError::Unavailable(format!(
                        "{} was deleted or replaced while the server runs: nothing more is stored. Stop the server, \
                         restore the directory from a backup, and start again",
                        path.display()
                    )));
                }
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn id(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn id(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|_| (0, 0))
}

/// Creates a directory and syncs the parent of each new one, since a directory is as durable as its entry there.
fn create(directory: &Path) -> io::Result<()> {
    let missing: Vec<PathBuf> =
        directory.ancestors().take_while(|path| !path.exists()).map(Path::to_path_buf).collect();
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    // The directory will hold signing keys, so only its owner may read it from the start. An existing directory keeps
    // its mode.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)?;
    if cfg!(unix) {
        for made in missing.iter().rev() {
            let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

/// Opens the connection of the writer and brings the schema up to date.
pub(super) fn writer(database: &Path, lock: &mut Lock) -> Result<Connection, StoreError> {
    lock.require_database(database)?;
    // Without `SQLITE_OPEN_URI`, so no character of the path has a special meaning.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(database, flags)?;
    refuse_newer(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let text = format!("{} cannot keep a write-ahead log: choose a directory on a local disk", database.display());
        return Err(StoreError::Unavailable(text));
    }
    prepare(&connection, 64 * 1024)?;
    // FULL: each commit waits for fsync of the log. fullfsync: on macOS, fsync alone leaves data in the cache of the
    // drive.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;",
    )?;
    if lock.is_marked && migrations::version(&connection)? == 0 {
        return Err(gone(database, "holds nothing"));
    }
    migrations::run(&mut connection)?;
    text_index::fill(&mut connection)?;
    let unusable = |error: io::Error| StoreError::Unavailable(format!("{LOCK} cannot be written: {error}"));
    lock.mark().map_err(unusable)?;
    // A killed run may have left pages of an erased person in the log.
    wal::truncate(&connection);
    Ok(connection)
}

/// Creates a store with the schema of an older program, for tests of upgrades.
pub(super) fn make_of_version(directory: &Path, version: i32) -> Result<(), StoreError> {
    create(directory).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let mut connection = Connection::open(directory.join(DATABASE))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    migrations::run_until(&mut connection, version)
}

/// Opens a read-only connection.
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
    let (found, known) = (migrations::version(connection)?, migrations::known_version());
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path) -> Connection {
        writer(&directory.join(DATABASE), &mut take(directory).unwrap()).unwrap()
    }

    /// Name and text of all objects in a schema, without comments and layout.
    fn objects(connection: &Connection) -> Vec<(String, String)> {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' \
                   AND name <> 'refinery_schema_history' ORDER BY name";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).unwrap();
        rows.map(|row| {
            let (name, sql): (String, String) = row.unwrap();
            let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
            // A later migration puts comma and brace of its column elsewhere.
            let text = lines.collect::<Vec<_>>().join(" ").replace(',', " , ").replace(')', " ) ");
            (name, text.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
    }

    #[test]
    fn schema_sql_is_what_the_migrations_make() {
        let directory = tempfile::tempdir().unwrap();
        let migrated = open(directory.path());
        let read = Connection::open_in_memory().unwrap();
        read.execute_batch(include_str!("../../../sql/schema.sql")).unwrap();
        assert_eq!(objects(&read), objects(&migrated), "left: sql/schema.sql, right: sql/migrations/sqlite");
    }

    /// `$n` is a name in SQLite and an index in Postgres: they agree only when parameters first appear in order.
    #[test]
    fn parameters_of_every_query_first_appear_in_order_and_are_explained() {
        let directory = tempfile::tempdir().unwrap();
        let connection = open(directory.path());
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/queries");
        for file in fs::read_dir(queries).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                continue; // Queries of one store alone.
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
        let connection = open(directory.path());
        for (pragma, expected) in
            [("synchronous", 2), ("wal_autocheckpoint", 1000), ("foreign_keys", 1), ("secure_delete", 1)]
        {
            let found: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
            assert_eq!(found, expected, "{pragma}");
        }
    }

    /// A store can lose its data while its directory stays, with or without remains of the old files.
    #[test]
    fn a_directory_that_has_held_a_store_is_never_silently_a_new_one() {
        type Harm = fn(&Path);
        let harms: [(&str, Harm); 4] = [
            ("missing", |database| fs::remove_file(database).unwrap()),
            ("empty", |database| drop(File::create(database).unwrap())),
            ("without tables", |database| {
                fs::remove_file(database).unwrap();
                Connection::open(database).unwrap().execute_batch("CREATE TABLE a (b); DROP TABLE a").unwrap();
            }),
            ("missing, its log left", |database| {
                fs::remove_file(database).unwrap();
                fs::write(beside(database, "-wal"), [0; 64]).unwrap();
                // An older program left a lock file without a mark.
                File::create(database.with_file_name(LOCK)).unwrap();
            }),
        ];
        for (name, harm) in harms {
            let directory = tempfile::tempdir().unwrap();
            drop(open(directory.path()));
            let database = directory.path().join(DATABASE);
            harm(&database);
            let before = fs::metadata(&database).map(|found| found.len()).ok();
            for _ in 0..2 {
                let refused = writer(&database, &mut take(directory.path()).unwrap());
                assert!(matches!(refused, Err(StoreError::Gone(_))), "{name}: {refused:?}");
            }
            assert_eq!(fs::metadata(&database).map(|found| found.len()).ok(), before, "{name}: nothing was made");
        }
    }

    #[test]
    fn a_file_that_was_deleted_or_replaced_is_noticed() {
        for name in [DATABASE, "eddyline.db-wal", LOCK] {
            let directory = tempfile::tempdir().unwrap();
            let _connection = open(directory.path());
            let files = Files::of(&directory.path().join(DATABASE)).unwrap();
            files.check().unwrap();
            let path = directory.path().join(name);
            let aside = directory.path().join("aside");
            fs::rename(&path, &aside).unwrap();
            assert!(files.check().is_err(), "{name} is gone");
            fs::copy(&aside, &path).unwrap();
            assert!(files.check().is_err(), "{name} is another one");
            fs::rename(&aside, &path).unwrap();
            files.check().unwrap();
        }
    }
}
