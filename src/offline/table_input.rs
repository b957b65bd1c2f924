//! Tables of people, posts and views for commands: from a folder, single files, or a Postgres database.
//!
//! Invariant: a database is only read. Texts are embedded as in the server. Absent on purpose: training and replay.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use postgres::{Client, NoTls};

use eddyline::commands::progress;
use eddyline::domain::items::Embedding;
use eddyline::embed::Embedder;
use eddyline::store::postgres::{PostgresUrl, tls};
use eddyline_tables::Tables;
use eddyline_tables::read::{self, Place, TableOptions};

/// Texts in one call of the embedder.
const TEXTS_AT_ONCE: usize = 256;

/// Takes the single `PATH` argument of a command that reads tables.
///
/// # Errors
/// There are several paths, or the path is not UTF-8.
pub fn only_path(paths: &[PathBuf]) -> anyhow::Result<&str> {
    let [path] = paths else { bail!("PATH: give one folder, posts=FILE,feed=FILE[,people=FILE], or postgres://…") };
    path.to_str().context("PATH: must be UTF-8")
}

/// Reads tables from `from`: a folder, `posts=FILE,feed=FILE[,people=FILE]`, or `postgres://…`.
///
/// # Errors
/// A file or the database cannot be read: the message names file, line and column.
pub fn open(from: &str, options: &TableOptions) -> anyhow::Result<Tables> {
    let bar = progress::count("rows read");
    let mut watch = |rows| bar.set_position(rows);
    let tables = if PostgresUrl::is_one(from) {
        let url = PostgresUrl::parse(from).map_err(|why| anyhow::anyhow!("the database: {why}"))?;
        let config = postgres::Config::from(url.driver().clone());
        let connected = match tls::connector(&url)? {
            Some(connector) => config.connect(connector),
            None => config.connect(NoTls),
        };
        let mut client: Client = connected.with_context(|| format!("cannot connect to {url}"))?;
        read::read_database(&mut client, options, &mut watch)?
    } else {
        eddyline_tables::read(&Place::parse(from)?, options, &mut watch)?
    };
    bar.finish_and_clear();
    Ok(tables)
}

/// Embeds the text of every post that has a text and no embedding.
///
/// # Errors
/// The embedder fails.
pub fn embed(tables: &mut Tables, embedder: &dyn Embedder) -> anyhow::Result<()> {
    let mut waiting: Vec<_> =
        tables.posts.iter_mut().filter(|post| post.embedding.is_none() && !post.text.is_empty()).collect();
    let bar = progress::steps("embedding texts", waiting.len() as u64);
    for batch in waiting.chunks_mut(TEXTS_AT_ONCE) {
        let texts: Vec<&str> = batch.iter().map(|post| post.text.as_str()).collect();
        let vectors: Vec<Embedding> = embedder.embed(&texts)?;
        for (post, vector) in batch.iter_mut().zip(vectors) {
            post.embedding = Some(vector.to_vec());
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}
