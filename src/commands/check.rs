//! `eddyline db check`: checks the files of the store, folds everybody's journal and compares with what was saved.
//!
//! Invariant: reads only. A snapshot that differs from the fold of the journal is a bug, and reported as such. A damaged
//! file is reported before anything is read from it, and then nothing is: what would be folded is not what was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::commands::progress;
use crate::config::Config;
use crate::domain::ids::Seq;
use crate::domain::time::Millis;
use crate::engine::user::UserState;
use crate::store::Store;
use crate::store::recovery::{fold, load_coordinator, read_catalogue};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// People who have entries.
    pub people: u64,
    /// Entries folded.
    pub entries: u64,
    /// Snapshots that equal the fold of the journal up to them.
    pub snapshots_equal: u64,
    /// Snapshots that were set aside (other settings or format): harmless.
    pub snapshots_set_aside: u64,
    /// What is wrong, in words.
    pub wrong: Vec<String>,
}

/// Checks a store. `now` is used for nothing that is stored.
///
/// # Errors
/// What the store says; what is merely wrong is among the findings.
pub async fn check(store: Arc<dyn Store>, config: &Config, now: Millis) -> anyhow::Result<Findings> {
    let damage = store.check_files().await?;
    if !damage.is_empty() {
        let wrong = damage.into_iter().map(|line| format!("the file is damaged, restore it from a backup: {line}"));
        return Ok(Findings { wrong: wrong.collect(), ..Findings::default() });
    }
    let (catalogue, people) = read_catalogue(&*store).await?;
    let settings = Arc::new(config.learn.clone());
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
                found.wrong.push(format!("{}: entry {} stands where {expected} should", person.key, entry.seq.0));
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
