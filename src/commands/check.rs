//! `eddyline db check`: checks the files of a store, folds the journal of every user and compares it with their snapshot.
//!
//! Invariant: reads only. A snapshot that differs from the fold of the journal is a bug, and reported as one. After a
//! damaged file nothing is folded: its bytes are not the bytes that were written.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;

use super::args::ConfigArgs;
use super::{block_on, progress};
use crate::actors::clock::{Clock, WallClock};
use crate::app;
use crate::config::Config;
use crate::domain::ids::Seq;
use crate::domain::time::Millis;
use crate::engine::user::UserState;
use crate::process::say;
use crate::store::Store;
use crate::store::recovery::{fold, load_coordinator, read_catalogue};

/// Flags of `eddyline db check`: the store.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `file:DIR` or `postgres://…`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Counts of a check, and every contradiction that it found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Users with at least one journal entry.
    pub people: u64,
    /// Entries that were folded.
    pub entries: u64,
    /// Snapshots that equal the fold of the journal up to their entry.
    pub snapshots_equal: u64,
    /// Snapshots of other settings or another format. They are harmless: the server folds the journal instead.
    pub snapshots_set_aside: u64,
    /// Sentences, one for each contradiction.
    pub wrong: Vec<String>,
}

/// Checks the configured store and prints the findings to standard error.
///
/// # Errors
/// The store cannot be read, or contradicts its journal.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = args.config.start_with_store(args.store)?;
    let now = WallClock::default().now();
    let found = block_on(async { check(app::open_store(&config).await?, &config, now).await })?;
    say(format_args!(
        "{} people, {} entries, {} snapshots equal the fold, {} set aside, {} wrong",
        found.people,
        found.entries,
        found.snapshots_equal,
        found.snapshots_set_aside,
        found.wrong.len()
    ));
    for wrong in &found.wrong {
        say(format_args!("wrong: {wrong}"));
    }
    if found.wrong.is_empty() { Ok(()) } else { bail!("the store contradicts its journal") }
}

/// Checks a store. `now` is the clock of the coordinator, which is computed in memory only: the check writes nothing.
///
/// # Errors
/// The store cannot be read. Contradictions are findings, not errors.
pub async fn check(store: Arc<dyn Store>, config: &Config, now: Millis) -> anyhow::Result<Findings> {
    let damage = store.check_files().await?;
    if !damage.is_empty() {
        let wrong = damage.into_iter().map(|line| format!("the file is damaged, restore it from a backup: {line}"));
        return Ok(Findings { wrong: wrong.collect(), ..Findings::default() });
    }
    let (catalogue, people) = read_catalogue(&*store).await?;
    let settings = Arc::new(config.engine());
    let coordinator = load_coordinator(&*store, config.dim, settings.clone(), catalogue, now).await?;
    let world = coordinator.world();
    let mut found = Findings::default();
    let bar = progress::steps("people", people.len() as u64);
    for person in people {
        bar.inc(1);
        let entries = store.entries_until(person.id, Millis::MAX).await?;
        if entries.is_empty() {
            continue;
        }
        found.people += 1;
        found.entries += entries.len() as u64;
        let mut ids = BTreeMap::new();
        for (expected, entry) in (1_u64..).zip(&entries) {
            if entry.seq != Seq(expected) {
                found.wrong.push(format!("{}: entry {} is in the place of entry {expected}", person.key, entry.seq.0));
            }
            if let Some(first) = ids.insert(entry.id.clone(), entry.seq) {
                found.wrong.push(format!(
                    "{}: event {} is stored twice, as {} and {}",
                    person.key, entry.id, first.0, entry.seq.0
                ));
            }
        }
        let Some(snapshot) = store.recover(person.id).await?.snapshot else {
            fold(&*store, UserState::new(person.id), &entries, world).await?;
            continue;
        };
        let Ok(saved) = UserState::from_bytes(&snapshot.bytes, &settings) else {
            found.snapshots_set_aside += 1;
            continue;
        };
        let covered = entries.iter().take_while(|entry| entry.seq <= snapshot.seq).count();
        let folded = fold(&*store, UserState::new(person.id), &entries[..covered], world).await?;
        if folded == saved {
            found.snapshots_equal += 1;
        } else {
            found.wrong.push(format!(
                "{}: the snapshot at {} differs from the fold of the journal",
                person.key, snapshot.seq.0
            ));
        }
    }
    bar.finish_and_clear();
    Ok(found)
}
