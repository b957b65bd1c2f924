//! Imported events see the time of the log.
//!
//! Invariant under test: an import learns each event with the availability and the popularity of its own time, as an engine does
//! that was running then. Formats with equal events give equal entries.

use std::path::Path;
use std::sync::Arc;

use eddyline::app;
use eddyline::commands::loader::Loader;
use eddyline::config::Config;
use eddyline::domain::ids::{Key, Position};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::journal::Entry;
use eddyline::domain::time::{HOUR_MS, MINUTE_MS, Millis};
use eddyline::engine::user::UserEvent;
use eddyline::fold::{Learning, Offline};
use eddyline::store::Store;
use eddyline::store::embedded::Embedded;
use eddyline::store::recovery::{load_coordinator, read_catalogue};
use eddyline_offline::import::{self, Format};
use eddyline_offline::live_channels::LiveArgs;
use eddyline_replay::formats::time::{TimeUnit, Times};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support;

const BEGIN: i64 = 1_700_000_000_000;
const ITEMS: u32 = 24;
const EVENTS: i64 = 300;

/// Clicks of eight users, each a while after the one before: a minute at least.
fn clicks() -> Vec<(String, String, i64)> {
    let mut random = ChaCha8Rng::seed_from_u64(31);
    let mut at = BEGIN;
    let clicks = (0..EVENTS).map(|n| {
        at += random.random_range(MINUTE_MS..HOUR_MS);
        // Taste moves from the first items to the last ones, so popularity depends on the time.
        let item = (n * i64::from(ITEMS - 6) / EVENTS) as u32 + random.random_range(0..6);
        (format!("user-{}", random.random_range(0..8)), format!("item-{item}"), at)
    });
    clicks.collect()
}

fn catalogue(folder: &Path) -> [(Format, String); 2] {
    let (items, windows) = (folder.join("items.csv"), folder.join("windows.csv"));
    let mut text = "item,topic,text,created\n".to_owned();
    let mut spans = "item,start,stop\n".to_owned();
    for item in 0..ITEMS {
        text += &format!("item-{item},{},words of item {item},{BEGIN}\n", ["sea", "sky"][item as usize % 2]);
        if item % 3 == 0 {
            let (start, stop) = (BEGIN + i64::from(item) * 3 * HOUR_MS, BEGIN + i64::from(item + 12) * 5 * HOUR_MS);
            spans += &format!("item-{item},{start},{stop}\n");
        }
    }
    std::fs::write(&items, text).unwrap();
    std::fs::write(&windows, spans).unwrap();
    [(Format::Items, items.display().to_string()), (Format::Windows, windows.display().to_string())]
}

async fn import(store: &Arc<dyn Store>, config: &Config, format: Format, file: String) {
    let now = Millis(BEGIN + 1_000 * HOUR_MS);
    let loader = Loader::open(store.clone(), app::open_embedder(config).unwrap(), config, now).await.unwrap();
    let options = import::Options {
        format,
        paths: vec![file.into()],
        columns: None,
        times: Times::from(TimeUnit::MILLIS),
        items_only: false,
        skip_unknown: false,
        live: LiveArgs::default(),
        dim: config.dim,
    };
    let brought = import::files(loader, options, now).await.unwrap();
    assert_eq!((brought.unknown_items, brought.late), (0, 0), "{brought:?}");
}

/// A store with the catalogue and, if given, the events of a file.
async fn imported(
    config: &Config,
    folder: &Path,
    events: Option<(Format, String)>,
) -> (tempfile::TempDir, Arc<dyn Store>) {
    let place = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(&place.path().join("data")).unwrap());
    for (format, file) in catalogue(folder).into_iter().chain(events) {
        import(&store, config, format, file).await;
    }
    (place, store)
}

async fn entries(store: &dyn Store) -> Vec<Entry> {
    let scanned = store.scan(Position(0), u32::try_from(EVENTS).unwrap() + 1).await.unwrap();
    scanned.into_iter().map(|(_, entry)| entry).collect()
}

/// Entries of an engine that was running at the time of the log, or one whose clock stands at the end of it.
async fn live(config: &Config, folder: &Path, ticks: bool) -> Vec<Entry> {
    let (_place, store) = imported(config, folder, None).await;
    let now = Millis(BEGIN + 1_000 * HOUR_MS);
    let (catalogue, people) = read_catalogue(&*store).await.unwrap();
    let settings = Arc::new(config.engine());
    let coordinator = load_coordinator(&*store, config.dim, settings, catalogue, now).await.unwrap();
    let mut offline = Offline::over(coordinator, people);
    let mut entries = Vec::new();
    for (user, item, at) in clicks() {
        let (user, at) = (offline.person(&Key::new(&user).unwrap(), None, now), Millis(at));
        if ticks {
            offline.tick(at);
        }
        let item = offline.world().find_item(&item).unwrap();
        let id = Key::of_number(entries.len() as u32);
        let click = Interaction { id, item, kind: Kind::Click, dwell_ms: None, at, shown: None, passed: Vec::new() };
        let Learning::Learned(entry) = offline.act(user, UserEvent::Interacted(click), now) else { panic!("not new") };
        entries.push(*entry);
    }
    entries
}

/// The learned entries without their ids.
fn learned(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().map(|entry| Entry { id: Key::of_number(0), ..entry.clone() }).collect()
}

#[test]
fn an_import_learns_each_event_as_an_engine_did_that_was_running_then() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { dim: 16, ..Config::default() };
    let (events, plain) = (folder.path().join("events.csv"), folder.path().join("plain.txt"));
    let (mut csv, mut lines) = ("user,item,time,kind,dwell\n".to_owned(), String::new());
    for (user, item, at) in clicks() {
        csv += &format!("{user},{item},{at},click,\n");
        lines += &format!("{user} {item} {at}\n");
    }
    std::fs::write(&events, csv).unwrap();
    std::fs::write(&plain, lines).unwrap();
    support::block_on(async {
        let expected = learned(&live(&config, folder.path(), true).await);
        assert_eq!(expected.len() as i64, EVENTS);
        for (format, file) in [(Format::Events, &events), (Format::Plain, &plain)] {
            let events = Some((format, file.display().to_string()));
            let (_place, store) = imported(&config, folder.path(), events).await;
            let found = learned(&entries(&*store).await);
            for (n, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_eq!(found, expected, "{format:?}, event {n}");
            }
            assert_eq!(found.len(), expected.len());
        }
        let late = learned(&live(&config, folder.path(), false).await);
        assert_ne!(late, expected, "the time of the engine matters");
    });
}
