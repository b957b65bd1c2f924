//! Where commands get tables from: a folder, single files, or a Postgres database.
//!
//! Invariant: a database is only read. Texts become vectors as in the server. Absent on purpose: what is done with tables.

use anyhow::Context as _;
use postgres::{Client, NoTls};

use crate::commands::progress;
use crate::domain::items::Embedding;
use crate::embed::Embedder;
use crate::store::postgres::{PostgresUrl, tls};
use crate::tables::Tables;
use crate::tables::read::{self, Place, TableOptions};

/// Texts that are turned into vectors together.
const TEXTS_AT_ONCE: usize = 256;

/// Reads tables from `from`: a folder, `posts=FILE,feed=FILE[,people=FILE]`, or `postgres://…`.
///
/// # Errors
/// What is wrong, where.
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
        let mut client: Client = connected.with_context(|| format!("no connection to {url}"))?;
        read::read_database(&mut client, options, &mut watch)?
    } else {
        crate::tables::read(&Place::parse(from)?, options, &mut watch)?
    };
    bar.finish_and_clear();
    Ok(tables)
}

/// Gives every post with a text and without a vector one.
///
/// # Errors
/// What the embedder says.
pub fn embed(tables: &mut Tables, embedder: &dyn Embedder) -> anyhow::Result<()> {
    let mut waiting: Vec<_> =
        tables.posts.iter_mut().filter(|post| post.embedding.is_none() && !post.text.is_empty()).collect();
    let bar = progress::steps("reading texts", waiting.len() as u64);
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
