//! `eddyline db …`: the commands on a whole store, and for Postgres the schema's migration and status.
//!
//! Invariant: `status` only reads, with the sync driver. `migrate` runs the migration of a starting server: the sync driver
//! would commit a migration apart from its version.
//! Absent on purpose: a way back to an earlier schema; a backup of Postgres (`pg_dump` makes one).

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use postgres::error::SqlState;
use postgres::{Client, NoTls};

use super::args::ConfigArgs;
use super::output::print;
use super::{block_on, check, dump, load};
use crate::config::{Config, StoreUrl};
use crate::process::say;
use crate::store::StoreError;
use crate::store::postgres::{Postgres, PostgresUrl, schema, tls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TABLES_LIST: &str = include_str!("../../sql/queries/postgres/tables_list.sql");

/// Inspect, migrate, dump or load a store.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Fold the journal of every user and compare the result with the stored snapshots. Reads only.
    Check(check::Args),
    /// Migrate a Postgres store to the newest schema. The server does so itself when it starts.
    Migrate(PostgresArgs),
    /// Print the schema version, and rows and bytes per table, of a Postgres store. Reads only.
    Status(PostgresArgs),
    /// Write a whole store into one file, which `db load` reads into a store of any kind.
    Dump(dump::Args),
    /// Fill an empty store from a file that `db dump` wrote.
    Load(load::Args),
}

/// Flags of `eddyline db migrate` and `db status`: the Postgres store.
#[derive(Debug, clap::Args)]
pub struct PostgresArgs {
    /// URL of the database, `postgres://…`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs one of the commands.
///
/// # Errors
/// The store cannot be opened, or the command's own failure.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Check(args) => check::run(args),
        Command::Migrate(PostgresArgs { store, config }) => {
            let config = config.start_with_store(store)?;
            let (before, after) = block_on(migrate(&config))?;
            say(format_args!("schema version {after}, was {before}"));
            Ok(())
        }
        Command::Status(PostgresArgs { store, config }) => {
            let config = config.start_with_store(store)?;
            print(status(&config)?.to_string().trim_end())
        }
        Command::Dump(args) => dump::run(args),
        Command::Load(args) => load::run(args),
    }
}

/// Schema version and sizes of a Postgres store.
#[derive(Debug)]
pub struct Status {
    /// Schema version; 0 is an empty database.
    pub version: u32,
    /// Newest schema version of this program.
    pub known: u32,
    /// Tables as name, number of rows, and bytes including indexes.
    pub tables: Vec<(String, i64, i64)>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "schema version {} of {}", self.version, self.known)?;
        if self.version < self.known {
            writeln!(f, "run `eddyline db migrate`, or start the server")?;
        }
        writeln!(f, "{:24} {:>14} {:>14}", "table", "rows", "bytes")?;
        for (name, rows, bytes) in &self.tables {
            writeln!(f, "{name:24} {rows:>14} {bytes:>14}")?;
        }
        let (rows, bytes) = self.tables.iter().fold((0, 0), |(rows, bytes), table| (rows + table.1, bytes + table.2));
        write!(f, "{:24} {rows:>14} {bytes:>14}", "all")
    }
}

/// Migrates the schema to the newest version; returns the version before and after.
///
/// # Errors
/// The database cannot be reached, or the migration failed.
async fn migrate(config: &Config) -> anyhow::Result<(u32, u32)> {
    let url = postgres_url(config)?;
    Postgres::migrate(url, &config.postgres).await.with_context(|| format!("cannot migrate {url}"))
}

/// Reads the schema version and counts all rows. Counts are exact, so a big journal takes long.
///
/// # Errors
/// The database cannot be reached or read.
fn status(config: &Config) -> anyhow::Result<Status> {
    let url = postgres_url(config)?;
    let mut client = open(url).with_context(|| format!("cannot connect to {url}"))?;
    read_status(&mut client).with_context(|| format!("cannot read {url}"))
}

fn read_status(client: &mut Client) -> Result<Status, StoreError> {
    client.batch_execute(schema::NO_TIMEOUT)?;
    let version = version(client)?;
    let mut tables = Vec::new();
    for row in client.query(TABLES_LIST, &[])? {
        let (name, bytes): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        // The name comes from the catalogue of the database. Quoting keeps it from being read as SQL.
        let quoted = name.replace('"', "\"\"");
        let rows = client.query_one(&format!("SELECT count(*) FROM \"{quoted}\""), &[])?.try_get(0)?;
        tables.push((name, rows, bytes));
    }
    Ok(Status { version, known: schema::known_version(), tables })
}

fn postgres_url(config: &Config) -> anyhow::Result<&PostgresUrl> {
    match &config.store {
        StoreUrl::Postgres(url) => Ok(url),
        StoreUrl::File(_) => {
            bail!("store: this command is for Postgres; the embedded store {} needs no such command", config.store)
        }
    }
}

fn open(url: &PostgresUrl) -> Result<Client, StoreError> {
    let mut settings = postgres::Config::from(url.driver().clone());
    if settings.get_connect_timeout().is_none() {
        settings.connect_timeout(CONNECT_TIMEOUT);
    }
    Ok(match tls::connector(url)? {
        Some(connector) => settings.connect(connector)?,
        None => settings.connect(NoTls)?,
    })
}

/// Reads the schema version, 0 in an empty database. Refuses a version that is newer than this program's.
fn version(client: &mut Client) -> Result<u32, StoreError> {
    match client.query_one(schema::VERSION, &[]) {
        Ok(row) => schema::check_version(row.try_get(0)?),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
