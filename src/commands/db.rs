//! Looking after a Postgres store from the command line, without a server.
//!
//! Invariant: `status` only reads, with the sync driver, which is used here alone. `migrate` is what a server does when it
//! starts: the sync driver would commit a migration apart from its version.
//! Absent on purpose: a way back to an earlier schema; a backup (`pg_dump` makes one).

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use postgres::error::SqlState;
use postgres::{Client, NoTls};

use crate::config::{Config, StoreUrl};
use crate::store::StoreError;
use crate::store::postgres::{Postgres, PostgresUrl, schema, tls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TABLES_LIST: &str = include_str!("../../sql/queries/postgres/tables_list.sql");

/// What a store holds.
#[derive(Debug)]
pub struct Status {
    /// Of the schema; 0 is an empty database.
    pub version: u32,
    /// That this program would bring it to.
    pub known: u32,
    /// Name, rows, bytes with indexes.
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

/// Brings the schema up to date; the version before and after.
///
/// # Errors
/// What keeps it from being brought there; a message for people.
pub async fn migrate(config: &Config) -> anyhow::Result<(u32, u32)> {
    let url = postgres_url(config)?;
    Postgres::migrate(url, &config.postgres).await.with_context(|| format!("cannot bring {url} up to date"))
}

/// Counts. A big journal takes its time: rows are counted, not estimated.
///
/// # Errors
/// What keeps it from being read; a message for people.
pub fn status(config: &Config) -> anyhow::Result<Status> {
    let mut client = connect(config)?;
    client.batch_execute(schema::NO_TIMEOUT)?;
    let version = version(&mut client)?;
    let mut tables = Vec::new();
    for row in client.query(TABLES_LIST, &[])? {
        let (name, bytes): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        // The name comes from the catalogue of the database; quoted, it is a name and nothing else.
        let quoted = name.replace('"', "\"\"");
        let rows = client.query_one(&format!("SELECT count(*) FROM \"{quoted}\""), &[])?.try_get(0)?;
        tables.push((name, rows, bytes));
    }
    Ok(Status { version, known: schema::known_version(), tables })
}

fn postgres_url(config: &Config) -> anyhow::Result<&PostgresUrl> {
    match &config.store {
        StoreUrl::Postgres(url) => Ok(url),
        StoreUrl::File(_) => bail!("store: this command is for Postgres, and {} looks after itself", config.store),
    }
}

fn connect(config: &Config) -> anyhow::Result<Client> {
    let url = postgres_url(config)?;
    open(url).with_context(|| format!("cannot connect to {url}"))
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

/// 0 in an empty database; a newer one than ours is refused.
fn version(client: &mut Client) -> Result<u32, StoreError> {
    match client.query_one(schema::VERSION, &[]) {
        Ok(row) => schema::check_version(row.try_get(0)?),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
