//! `eddyline db dump`: a whole store as one file, from which any kind of store can be made again.
//!
//! Invariant: the same content gives the same bytes; the file appears under its name only when it is whole and on the
//! disk. Knows the store by its trait alone. Absent on purpose: snapshots, which are folded again, drawn
//! feeds, a log with an end of its own, and what belongs to a server rather than to its people (secrets, tokens).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::Xxh3;

use crate::commands::progress;
use crate::domain::ids::Position;
use crate::domain::items::{Embedding, Item};
use crate::domain::people::Person;
use crate::domain::text::{json_must_be_storable, must_be_storable};
use crate::engine::coordinator::Catalogue;
use crate::store::Store;
use crate::store::ndjson::{
    CentreLine, End, EntryLine, Header, ItemLine, Line, ModelLine, PersonLine, TopicLine, VERSION,
};
use crate::store::recovery::read_catalogue;

/// Entries read at once.
const PAGE: u32 = 10_000;

/// Writes everything that is in `store` to `out`, compressed as its ending says (`.zst`, `.gz`).
///
/// # Errors
/// What the store or the disk says, or a text that could not be loaded again; `out` is as it was before.
pub async fn dump(store: &dyn Store, out: &Path) -> anyhow::Result<End> {
    let part = beside(out);
    let written = write(store, &part).await;
    let moved = written.and_then(|end| {
        std::fs::rename(&part, out).and_then(|()| sync_directory(out))?;
        Ok(end)
    });
    if moved.is_err() {
        // What is left of it helps nobody; the first error is the one to be told.
        let _ = std::fs::remove_file(&part);
    }
    moved.with_context(|| format!("--out: {}", out.display()))
}

async fn write(store: &dyn Store, part: &Path) -> anyhow::Result<End> {
    let mut sink = Lines::create(part)?;
    let (Catalogue { topics, centres, items, changes }, people) = read_catalogue(store).await?;
    let (models, publications) = (store.models().await?, store.publications().await?);
    storable(&people, &items)?;
    let header = Header {
        version: VERSION,
        topics: topics.len() as u64,
        centres: centres.len() as u64,
        people: people.len() as u64,
        items: items.len() as u64,
        changes: changes.len() as u64,
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
    for model in models {
        let checkpoint = store.checkpoint(model.version).await?;
        let checkpoint = checkpoint.context("a model was forgotten while the dump was written: dump again")?;
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

/// Earlier versions took texts with the character NUL into the embedded store; no store takes them out of a dump.
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

/// Of all revisions that the store still has, the current one last.
async fn embeddings(store: &dyn Store, item: &Item) -> anyhow::Result<Vec<(u32, Embedding)>> {
    let mut found = Vec::with_capacity(1);
    for revision in 1..item.revision {
        found.extend(store.embedding(item.id, revision).await?.map(|embedding| (revision, embedding)));
    }
    found.push((item.revision, item.embedding.clone()));
    Ok(found)
}

/// Lines on their way to the disk.
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

    /// Writes the end and waits until all of it is on the disk.
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

/// A new name is as durable as its directory.
fn sync_directory(of: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = of.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
