//! `eddyline db dump`: writes a whole store into one file, which `eddyline db load` reads into a store of any kind.
//!
//! Invariant: equal content gives equal bytes. The file appears under its name only when it is whole and on the disk. The
//! command uses only the trait `Store`. Absent on purpose: snapshots, which a fold recomputes; shown feeds, a log with its
//! own retention; secrets and tokens, which belong to a server and not to its users.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::Xxh3;

use super::args::ConfigArgs;
use super::{block_on, progress};
use crate::app;
use crate::domain::clusterings::DEFAULT;
use crate::domain::ids::Position;
use crate::domain::items::{Embedding, Item};
use crate::domain::people::Person;
use crate::domain::text::{json_must_be_storable, must_be_storable};
use crate::engine::coordinator::Catalogue;
use crate::process::say;
use crate::store::ndjson::{
    CentreLine, End, EntryLine, FitLine, Header, ItemLine, Line, ModelLine, PersonLine, TopicLine, VERSION,
};
use crate::store::recovery::read_catalogue;
use crate::store::{Store, StoredFit};

/// Journal entries in one read.
const PAGE: u32 = 10_000;

/// Flags of `eddyline db dump`: the store to read and the file to write.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `file:DIR` of a server that does not run, or `postgres://…`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The file to write, compressed when its name ends in `.zst` or `.gz`. An existing file is replaced.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Dumps the configured store and prints the number of lines to standard error.
///
/// # Errors
/// The store cannot be read, or the file not written.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = args.config.start_with_store(args.store)?;
    let end = block_on(async { dump(&*app::open_store(&config).await?, &args.out).await })?;
    say(format_args!("{} lines, {} of them journal entries, in {}", end.lines, end.entries, args.out.display()));
    Ok(())
}

/// Writes the content of `store` to `out`, compressed by the extension of its name (`.zst`, `.gz`).
///
/// # Errors
/// The store or the disk fails, or a text cannot be loaded again. `out` then keeps its former content.
pub async fn dump(store: &dyn Store, out: &Path) -> anyhow::Result<End> {
    let part = beside(out);
    let written = write(store, &part).await;
    let moved = written.and_then(|end| {
        std::fs::rename(&part, out).and_then(|()| sync_directory(out))?;
        Ok(end)
    });
    if moved.is_err() {
        // A part of a dump has no use. A failure to remove it must not hide the first error.
        let _ = std::fs::remove_file(&part);
    }
    moved.with_context(|| format!("--out: {}", out.display()))
}

async fn write(store: &dyn Store, part: &Path) -> anyhow::Result<End> {
    let mut sink = Lines::create(part)?;
    let (Catalogue { topics, centres, items, changes, metrics, clusterings, cluster_names }, people) =
        read_catalogue(store).await?;
    let (models, publications) = (store.models().await?, store.publications().await?);
    let named = clusterings.iter().map(|revision| &revision.clustering);
    let named = named.chain(cluster_names.iter().map(|name| &name.clustering)).cloned();
    let fits = newest_fits(store, named.chain([DEFAULT.to_owned()]).collect()).await?;
    storable(&people, &items)?;
    let header = Header {
        version: VERSION,
        topics: topics.len() as u64,
        centres: centres.len() as u64,
        people: people.len() as u64,
        items: items.len() as u64,
        changes: changes.len() as u64,
        metrics: metrics.len() as u64,
        clusterings: clusterings.len() as u64,
        cluster_names: cluster_names.len() as u64,
        fits: fits.len() as u64,
        models: models.len() as u64,
        publications: publications.len() as u64,
    };
    let before_items = header.topics + header.centres + header.people;
    let total = before_items + header.items;
    sink.line(&Line::EddylineDump(header))?;
    let bar = progress::steps("catalogue", total);
    for (id, key) in topics {
        sink.line(&Line::Topic(TopicLine::of(id, key)))?;
    }
    for (centre, vector) in centres {
        sink.line(&Line::Centre(CentreLine::of(centre, &vector)))?;
    }
    for person in people {
        sink.line(&Line::Person(PersonLine::of(person)))?;
    }
    bar.inc(before_items);
    for item in items {
        bar.inc(1);
        let embeddings = embeddings(store, &item).await?;
        sink.line(&Line::Item(Box::new(ItemLine::of(item, &embeddings))))?;
    }
    for (change, since) in changes {
        sink.line(&Line::Since(change, since))?;
    }
    for (name, declaration) in metrics {
        sink.line(&Line::Metric(name, declaration))?;
    }
    for revision in clusterings {
        sink.line(&Line::Clustering(revision))?;
    }
    for name in cluster_names {
        sink.line(&Line::ClusterName(name))?;
    }
    for fit in fits {
        sink.line(&Line::Fit(Box::new(FitLine::of(fit))))?;
    }
    for model in models {
        let checkpoint = store.checkpoint(model.version).await?;
        let checkpoint = checkpoint.context("a model was deleted during the dump: dump again")?;
        sink.line(&Line::Model(ModelLine::of(model, checkpoint)))?;
    }
    for one in publications {
        sink.line(&Line::Published(one.version, one.at))?;
    }
    bar.finish_and_clear();
    let bar = progress::count("entries");
    let (mut after, mut entries) = (Position(0), 0);
    loop {
        let page = store.scan(after, PAGE).await?;
        for (position, entry) in &page {
            sink.line(&Line::Entry(Box::new(EntryLine::of(entry)?)))?;
            after = *position;
        }
        entries += page.len() as u64;
        bar.set_position(entries);
        if page.len() < PAGE as usize {
            break;
        }
    }
    bar.finish_and_clear();
    sink.finish(entries)
}

/// The newest fit of each of these clusterings. Names belong to the clusters of that fit.
async fn newest_fits(store: &dyn Store, clusterings: BTreeSet<String>) -> anyhow::Result<Vec<StoredFit>> {
    let mut found = Vec::new();
    for clustering in clusterings {
        found.extend(store.fits(&clustering, 1).await?);
    }
    Ok(found)
}

/// Refuses texts with the character NUL: earlier versions wrote them into the embedded store, but no store loads them.
fn storable(people: &[Person], items: &[Item]) -> anyhow::Result<()> {
    for Person { key, name, attributes, .. } in people {
        let name = name.as_deref().map_or(Ok(()), must_be_storable);
        let attributes = attributes.as_deref().map_or(Ok(()), json_must_be_storable);
        let advice = || format!("person {key:?}: start the server, and change them with PUT /v1/users/{{id}}");
        name.context("their name").and(attributes.context("their attributes")).with_context(advice)?;
    }
    for Item { key, text, .. } in items {
        let advice = || format!("item {key:?}: start the server, and change its text with PATCH /v1/items/{{id}}");
        must_be_storable(text).context("its text").with_context(advice)?;
    }
    Ok(())
}

/// Embeddings of all revisions of an item that the store still has, the current one last.
async fn embeddings(store: &dyn Store, item: &Item) -> anyhow::Result<Vec<(u32, Embedding)>> {
    let mut found = Vec::with_capacity(1);
    for revision in 1..item.revision {
        found.extend(store.embedding(item.id, revision).await?.map(|embedding| (revision, embedding)));
    }
    found.push((item.revision, item.embedding.clone()));
    Ok(found)
}

/// Writes lines to the disk, counts them and hashes them.
struct Lines {
    sink: Sink,
    hash: Xxh3,
    lines: u64,
}

enum Sink {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl Lines {
    fn create(part: &Path) -> io::Result<Lines> {
        let file = BufWriter::with_capacity(256 * 1024, File::create(part)?);
        let ends = |ending: &str| part.to_string_lossy().ends_with(&format!("{ending}.part"));
        let sink = if ends(".zst") {
            Sink::Zstd(zstd::stream::write::Encoder::new(file, 0)?)
        } else if ends(".gz") {
            Sink::Gzip(GzEncoder::new(file, flate2::Compression::default()))
        } else {
            Sink::Plain(file)
        };
        Ok(Lines { sink, hash: Xxh3::new(), lines: 0 })
    }

    fn line(&mut self, line: &Line) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.hash.update(&bytes);
        self.lines += 1;
        let sink: &mut dyn Write = match &mut self.sink {
            Sink::Plain(sink) => sink,
            Sink::Gzip(sink) => sink,
            Sink::Zstd(sink) => sink,
        };
        Ok(sink.write_all(&bytes)?)
    }

    /// Writes the last line with counts and checksum, and waits until the file is on the disk.
    fn finish(mut self, entries: u64) -> anyhow::Result<End> {
        let end = End { lines: self.lines, entries, checksum: format!("{:032x}", self.hash.digest128()) };
        self.line(&Line::End(end.clone()))?;
        let file = match self.sink {
            Sink::Plain(sink) => sink,
            Sink::Gzip(sink) => sink.finish()?,
            Sink::Zstd(sink) => sink.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(end)
    }
}

fn beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Makes a rename durable: the name is on the disk only when its directory is.
fn sync_directory(of: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = of.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
