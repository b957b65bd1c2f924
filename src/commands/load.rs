//! `eddyline db load`: fills an empty store from a dump.
//!
//! Invariant: nothing is written before a first pass has read the whole file and verified its checksum, nor into a store
//! that is not empty. A dump of the loaded store has the bytes of the file. After an interrupted load no other command and
//! no server opens the store. The command uses only the trait `Store`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow, bail, ensure};
use xxhash_rust::xxh3::Xxh3;

use super::args::ConfigArgs;
use super::{block_on, progress};
use crate::app;
use crate::domain::clusterings::{ClusteringChange, check_cluster_name, check_name};
use crate::domain::ids::Position;
use crate::domain::json::JsonError;
use crate::domain::people::{Erasure, Person};
use crate::engine::settings::ClusterSettings;
use crate::process::say;
use crate::store::models::Publication;
use crate::store::ndjson::{End, Header, Line, VERSION};
use crate::store::{Outcome, Store, Write, writable};

/// Writes per transaction.
const BATCH: usize = 4_096;
/// Bytes of lines after which a transaction ends, even with fewer than [`BATCH`] writes.
const BATCH_BYTES: usize = 4 << 20;
/// Longest line. An item may have 100,000 windows and many revisions; no dump has a longer line than this.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// Flags of `eddyline db load`: the store to fill and the dump to read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `file:DIR`, created where it is missing, or `postgres://…`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A file that `db dump` wrote.
    #[arg(long = "in", value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Loads the dump into the configured store and prints the number of lines to standard error.
///
/// # Errors
/// The store is not empty, the dump is damaged, or the store fails.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = args.config.start_with_store(args.store)?;
    let end = block_on(async { load(&*app::open_store_to_load(&config).await?, &args.from).await })?;
    say(format_args!("{} lines, {} of them journal entries, from {}", end.lines, end.entries, args.from.display()));
    Ok(())
}

/// Fills `store` from `from`, decompressed by the extension of its name (`.zst`, `.gz`).
///
/// # Errors
/// The store is not empty or the file is not whole: nothing was written. Or the store fails: it then holds a part of the
/// dump, and the load must start again with an empty store.
async fn load(store: &dyn Store, from: &Path) -> anyhow::Result<End> {
    must_be_empty(store).await?;
    let end = check(from).with_context(|| format!("--in: {}", from.display()))?;
    store.set_loading(true).await?;
    fill(store, from).await.with_context(|| {
        format!("--in: {}: the store holds a part of it: empty the store and load again", from.display())
    })?;
    store.set_loading(false).await?;
    Ok(end)
}

async fn must_be_empty(store: &dyn Store) -> anyhow::Result<()> {
    let found = Arc::new(AtomicBool::new(false));
    let note = found.clone();
    store.catalogue(Box::new(move |_| note.store(true, Ordering::Relaxed))).await?;
    let is_empty = !found.load(Ordering::Relaxed) && store.scan(Position(0), 1).await?.is_empty();
    ensure!(is_empty, "--store: the store is not empty: load into an empty one; nothing was changed");
    Ok(())
}

/// First pass: reads the whole file and verifies its header, counts and checksum.
fn check(from: &Path) -> anyhow::Result<End> {
    let mut lines = Lines::open(from, "checking")?;
    let mut hash = Xxh3::new();
    let (mut count, mut entries) = (0_u64, 0_u64);
    let mut counts = [0_u64; 11];
    let mut header: Option<Header> = None;
    while let Some(bytes) = lines.next()? {
        // For most lines the tag is enough: the second pass parses the values.
        let tag =
            bytes.strip_prefix(b"{\"").and_then(|rest| rest.split(|byte| *byte == b'"').next()).unwrap_or_default();
        // A text with NUL, which no store takes, would end the load half-way.
        if matches!(tag, b"person" | b"item") && bytes.windows(5).any(|part| part == b"u0000") {
            let mut batch = Vec::new();
            writes(parse(bytes, count + 1)?, &mut batch)?;
            writable(&batch).with_context(|| format!("line {}", count + 1))?;
        }
        match tag {
            b"eddyline_dump" if count == 0 => match parse(bytes, 1)? {
                Line::EddylineDump(found) => header = Some(found),
                _ => bail!("line 1: not a header"),
            },
            b"end" => {
                let Line::End(end) = parse(bytes, count + 1)? else { bail!("line {}: not an end", count + 1) };
                let header = header.context("line 1: not the header of a dump")?;
                ensure!(
                    header.version <= VERSION,
                    "a newer program wrote the dump: load it with that version or a later one"
                );
                let torn = "the dump is damaged: lines were lost or changed since it was written; take another copy";
                let catalogue = [header.topics, header.centres, header.people, header.items, header.changes];
                let models = [header.models, header.publications, header.metrics];
                let clusterings = [header.clusterings, header.cluster_names, header.fits];
                let expected: Vec<u64> = catalogue.into_iter().chain(models).chain(clusterings).collect();
                ensure!(end.lines == count && end.entries == entries && expected == counts[..], "{torn}");
                ensure!(end.checksum == format!("{:032x}", hash.digest128()), "{torn}");
                ensure!(lines.next()?.is_none(), "line {}: there is content after the end of the dump", count + 2);
                return Ok(end);
            }
            b"topic" => counts[0] += 1,
            b"centre" => counts[1] += 1,
            b"person" => counts[2] += 1,
            b"item" => counts[3] += 1,
            b"since" => counts[4] += 1,
            b"model" => counts[5] += 1,
            b"published" => counts[6] += 1,
            b"metric" => counts[7] += 1,
            b"clustering" => counts[8] += 1,
            b"cluster_name" => counts[9] += 1,
            b"fit" => counts[10] += 1,
            b"entry" => entries += 1,
            _ => bail!("line {}: not a line of a dump", count + 1),
        }
        ensure!(header.is_some(), "line 1: not the header of a dump");
        hash.update(bytes);
        count += 1;
    }
    bail!("the dump is cut off after line {count}; take another copy")
}

async fn fill(store: &dyn Store, from: &Path) -> anyhow::Result<()> {
    let mut lines = Lines::open(from, "loading")?;
    let (mut batch, mut bytes, mut number) = (Vec::new(), 0, 0_u64);
    let mut dim = None;
    while let Some(line) = lines.next()? {
        number += 1;
        bytes += line.len();
        match parse(line, number)? {
            Line::Model(model) => {
                store.save_model(model.model()).await?;
            }
            Line::Fit(fit) => store.save_fit(fit.fit()).await?,
            // A publication outlives its model, which may have been deleted since.
            Line::Published(version, at) => store.record_publication(Publication { version, at }).await?,
            line => {
                let first = batch.len();
                let read = writes(line, &mut batch).and_then(|()| same_length(&batch[first..], &mut dim));
                read.with_context(|| format!("line {number}"))?;
            }
        }
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            append(store, &mut batch).await?;
            bytes = 0;
        }
    }
    append(store, &mut batch).await
}

/// Refuses embeddings of two lengths: a store takes them, but no server starts on it.
fn same_length(writes: &[Write], dim: &mut Option<usize>) -> anyhow::Result<()> {
    for write in writes {
        if let Write::Item(item) = write {
            let (expected, found) = (*dim.get_or_insert(item.embedding.len()), item.embedding.len());
            ensure!(found == expected, "item {}: its embedding must have {expected} numbers, has {found}", item.key);
        }
    }
    Ok(())
}

async fn append(store: &dyn Store, batch: &mut Vec<Write>) -> anyhow::Result<()> {
    let outcomes = store.append(std::mem::take(batch)).await?;
    let all_new = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_)));
    ensure!(all_new, "the store refused an entry: does another program write to it?");
    Ok(())
}

fn parse(bytes: &[u8], number: u64) -> anyhow::Result<Line> {
    serde_json::from_slice(bytes).map_err(|error| JsonError::new(&error)).with_context(|| format!("line {number}"))
}

fn writes(line: Line, batch: &mut Vec<Write>) -> anyhow::Result<()> {
    match line {
        Line::EddylineDump(_) | Line::End(_) | Line::Model(_) | Line::Published(..) | Line::Fit(_) => {}
        Line::Topic(topic) => {
            let (id, key) = topic.topic();
            batch.push(Write::Topic(id, key));
        }
        Line::Metric(name, declaration) => {
            declaration.check(name.as_str()).map_err(|(field, rule)| anyhow!("metric {name}, {field}: {rule}"))?;
            batch.push(Write::Metric(name, Some(declaration)));
        }
        Line::Clustering(revision) => {
            let name = &revision.clustering;
            check_name(name).map_err(|rule| anyhow!("clustering {name}: its name {rule}"))?;
            let settings = ClusterSettings::of_json(&revision.settings).map_err(|error| JsonError::new(&error));
            settings.with_context(|| format!("clustering {name}, revision {}", revision.revision))?;
            batch.push(Write::Clustering(ClusteringChange::Revise(revision)));
        }
        Line::ClusterName(name) => {
            let of = || format!("cluster {} of {}", name.cluster, name.clustering);
            check_cluster_name(&name.name).map_err(|rule| anyhow!("{}: its name {rule}", of()))?;
            batch.push(Write::Clustering(ClusteringChange::Name(name)));
        }
        Line::Centre(centre) => {
            let (centre, vector) = centre.centre()?;
            batch.push(Write::Centre(centre, vector));
        }
        Line::Person(person) => {
            let person = person.person();
            let Person { id: user, created: at, .. } = person;
            let grave = person.erased.then(|| Erasure { user, key: person.key.clone(), at, items: Vec::new() });
            batch.push(Write::Person(Person { erased: false, ..person }));
            batch.extend(grave.map(Write::Erase));
        }
        Line::Item(item) => {
            let revisions = item.revisions()?;
            batch.extend(revisions.into_iter().map(|item| Write::Item(Arc::new(item))));
        }
        Line::Since(change, since) => batch.push(Write::Since(change, since)),
        Line::Entry(entry) => batch.push(Write::Entry(entry.entry()?)),
    }
    Ok(())
}

/// Lines of a file with their line breaks; a progress bar shows the position.
struct Lines {
    reader: Box<dyn BufRead>,
    bar: indicatif::ProgressBar,
    line: Vec<u8>,
}

impl Lines {
    fn open(path: &Path, what: &str) -> anyhow::Result<Lines> {
        let file = File::open(path)?;
        let bar = progress::bytes(what);
        bar.set_length(file.metadata()?.len());
        let file = BufReader::with_capacity(256 * 1024, bar.wrap_read(file));
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let reader: Box<dyn BufRead> = match ending {
            "zst" => Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(file)?)),
            "gz" => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
            _ => Box::new(file),
        };
        Ok(Lines { reader, bar, line: Vec::new() })
    }

    fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        self.line.clear();
        let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
        read.context("the file is cut off, or is not compressed as its name says (.zst, .gz); take another copy")?;
        Ok((!self.line.is_empty()).then_some(&self.line[..]))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
