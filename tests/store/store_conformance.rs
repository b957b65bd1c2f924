//! Conformance suite: guarantees of every store, proved by common cases.
//!
//! Invariant: a case uses the store only as `dyn Store`, plus the means to reopen it and to damage a snapshot. A new
//! store needs one more [`Place`] and one more line `conformance!(...)` at the end.
//! Deliberately absent: crashes (`store_crash.rs`), speed (`benches/store.rs`).

#[path = "../support/conformance_access.rs"]
mod access;
use crate::postgres;
#[path = "../support/conformance_catalogue.rs"]
mod catalogue_cases;
#[path = "../support/conformance_embedded.rs"]
mod embedded_only;
#[path = "../support/conformance_erasure.rs"]
mod erasure;
#[path = "../support/conformance_events.rs"]
mod events;
#[path = "../support/conformance_fits.rs"]
mod fits;
#[path = "../support/conformance_journal.rs"]
mod journal;
#[path = "../support/conformance_models.rs"]
mod models;
#[path = "../support/conformance_search.rs"]
mod search;
#[path = "../support/conformance_slates.rs"]
mod slates;

#[path = "../support/conformance_undo.rs"]
mod undo;

use access::*;
use catalogue_cases::*;
use erasure::*;
use events::*;
use fits::*;
use journal::*;
use models::*;
use search::*;
use slates::*;
use undo::*;

use std::sync::{Arc, LazyLock, Mutex};

use eddyline::domain::ids::{FeedVersion, ItemId, Key, ModelVersion, Partition, Position, Seq, TopicId, UserId};
use eddyline::domain::interactions::{Inverse, Kind, Shown, Signal, Standing};
use eddyline::domain::items::{Author, Change, Embedding, Item};
use eddyline::domain::journal::{Cancelled, CentreRef, Entry, Learned, Measured, Predicted, Undo, Undone, What};
use eddyline::domain::metrics::{Declaration, MetricKind, Prior};
use eddyline::domain::people::{Erasure, Person};
use eddyline::domain::time::Millis;
use eddyline::domain::windows::{Window, Windows};
use eddyline::store::embedded::Embedded;
use eddyline::store::postgres::{Postgres, PostgresSettings, PostgresUrl};
use eddyline::store::{CatalogueRow, Outcome, Recovered, Slice, Snapshot, Store, StoreError, Write};

/// Location of a store; empty when created, removed when dropped.
trait Place {
    /// Whether the environment asks to skip this kind of store.
    fn is_left_out() -> bool {
        false
    }
    fn new() -> Self;
    fn open(&self) -> Result<Arc<dyn Store>, StoreError>;
    /// Deletes the text index, as if an earlier program had written the catalogue.
    fn delete_text_index(&self);
    /// Cuts the bytes of this user's snapshot in half, like a torn write.
    fn tear_snapshot(&self, user: UserId);
    /// Cuts the bytes of the coordinator's snapshot at this position in half.
    fn tear_coordinator_snapshot(&self, covers: Position);
}

// Helpers of the cases.

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn vector(numbers: &[f32]) -> Embedding {
    Embedding::new(numbers.to_vec(), numbers.len()).unwrap()
}

/// An interaction of `user` under `seq`, with event id `id`, at `seq` seconds.
fn liked(user: u32, seq: u64, id: &str, item: u32) -> Entry {
    let at = Millis(1_000 * seq.cast_signed());
    let learned = Learned {
        item: ItemId(item),
        revision: 3,
        kind: Kind::Watch,
        dwell_ms: Some(4_200),
        shown: Some(Shown { version: FeedVersion(9), position: 2, propensity: 0.1 }),
        signal: Some(Signal { positive: true, weight: 0.3 }),
        topics: vec![TopicId(5), TopicId(1)],
        centre: CentreRef { topic: TopicId(5), epoch: 2 },
        features: vec![0.1, -0.0, f32::MIN_POSITIVE, 1e30, -3.5],
        predicted: Predicted { online: -0.7, topics: 0.2, model: 1.0 / 3.0, model_version: Some(ModelVersion(7)) },
        example: None,
        liked_at: None,
    };
    Entry {
        user: UserId(user),
        seq: Seq(seq),
        id: key(id),
        at,
        received: Millis(at.0 + 7),
        what: What::Interacted(learned),
    }
}

fn other(user: u32, seq: u64, what: What) -> Entry {
    Entry { what, ..liked(user, seq, &format!("other-{seq}"), 0) }
}

fn item(id: u32, name: &str) -> Item {
    Item {
        attributes: None,
        id: ItemId(id),
        key: key(name),
        revision: 1,
        author: None,
        topics: vec![TopicId(1)].into(),
        text: "a text".into(),
        embedding: vector(&[1.0, 2.0, 3.0]),
        created: Millis(10),
        windows: Windows::default(),
        deleted: false,
    }
}

fn person(id: u32, name: &str) -> Person {
    Person { id: UserId(id), key: key(name), name: None, attributes: None, created: Millis(5), erased: false }
}

fn entries(entries: &[Entry]) -> Vec<Write> {
    entries.iter().cloned().map(Write::Entry).collect()
}

async fn append(store: &Arc<dyn Store>, list: &[Entry]) -> Vec<Outcome> {
    store.append(entries(list)).await.unwrap()
}

async fn everything(store: &Arc<dyn Store>) -> Vec<(Position, Entry)> {
    store.scan(Position(0), u32::MAX).await.unwrap()
}

async fn newest(store: &Arc<dyn Store>, slice: Slice, before: Option<u64>, limit: u32) -> Vec<Entry> {
    let found = store.newest(slice, before, limit).await.unwrap();
    found.into_iter().map(|(_, entry)| entry).collect()
}

async fn catalogue(store: &Arc<dyn Store>) -> Vec<CatalogueRow> {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let each = rows.clone();
    store.catalogue(Box::new(move |row| each.lock().unwrap().push(row))).await.unwrap();
    std::mem::take(&mut *rows.lock().unwrap())
}

fn is_stored(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Stored(_))
}

// The cases, each named after the sentence that it proves.

async fn a_person_is_recovered_from_snapshot_and_tail(place: &impl Place) {
    let store = place.open().unwrap();
    assert_eq!(store.recover(UserId(1)).await.unwrap(), Recovered::default(), "nobody yet");
    let list: Vec<Entry> = (1..=5).map(|seq| liked(1, seq, &format!("e{seq}"), 4)).collect();
    append(&store, &list).await;
    append(&store, &[liked(2, 1, "not mine", 4)]).await;
    assert_eq!(store.recover(UserId(1)).await.unwrap(), Recovered { snapshot: None, tail: list.clone() });
    for covered in [3, 5] {
        let snapshot = Snapshot { seq: Seq(covered), bytes: vec![covered as u8; 10_000] };
        store.save_snapshot(UserId(1), snapshot.clone()).await.unwrap();
        let found = store.recover(UserId(1)).await.unwrap();
        assert_eq!(found, Recovered { snapshot: Some(snapshot), tail: list[covered as usize..].to_vec() });
    }
}

async fn an_older_snapshot_never_overwrites_a_newer_one(place: &impl Place) {
    let store = place.open().unwrap();
    append(&store, &[liked(1, 1, "a", 4), liked(1, 2, "b", 4)]).await;
    let newer = Snapshot { seq: Seq(2), bytes: b"newer".to_vec() };
    store.save_snapshot(UserId(1), newer.clone()).await.unwrap();
    store.save_snapshot(UserId(1), Snapshot { seq: Seq(1), bytes: b"older".to_vec() }).await.unwrap();
    assert_eq!(store.recover(UserId(1)).await.unwrap().snapshot, Some(newer));
    let again = Snapshot { seq: Seq(2), bytes: b"newer format".to_vec() };
    store.save_snapshot(UserId(1), again.clone()).await.unwrap();
    assert_eq!(store.recover(UserId(1)).await.unwrap().snapshot, Some(again), "of the same number, the last one stays");
}

async fn a_snapshot_never_runs_ahead_of_the_journal(place: &impl Place) {
    let store = place.open().unwrap();
    append(&store, &[liked(1, 1, "a", 4)]).await;
    let ahead = Snapshot { seq: Seq(2), bytes: vec![1] };
    assert!(matches!(store.save_snapshot(UserId(1), ahead).await, Err(StoreError::Refused(_))));
    assert!(matches!(store.save_coordinator_snapshot(Position(1_000), vec![1]).await, Err(StoreError::Refused(_))));
    assert_eq!(store.recover(UserId(1)).await.unwrap().snapshot, None);
    assert_eq!(store.coordinator_snapshot().await.unwrap(), None);
}

async fn a_torn_snapshot_is_ignored_and_the_tail_is_everything(place: &impl Place) {
    let store = place.open().unwrap();
    let list = [liked(1, 1, "a", 4), liked(1, 2, "b", 4), liked(1, 3, "c", 4)];
    append(&store, &list).await;
    store.save_snapshot(UserId(1), Snapshot { seq: Seq(2), bytes: vec![7; 999] }).await.unwrap();
    place.tear_snapshot(UserId(1));
    assert_eq!(store.recover(UserId(1)).await.unwrap(), Recovered { snapshot: None, tail: list.to_vec() });
    let healed = Snapshot { seq: Seq(2), bytes: vec![8; 999] };
    store.save_snapshot(UserId(1), healed.clone()).await.unwrap();
    assert_eq!(store.recover(UserId(1)).await.unwrap(), Recovered { snapshot: Some(healed), tail: list[2..].to_vec() });
}

async fn the_coordinator_gets_its_newest_readable_snapshot(place: &impl Place) {
    let store = place.open().unwrap();
    assert_eq!(store.coordinator_snapshot().await.unwrap(), None);
    let outcomes = append(&store, &[1, 2, 3, 4].map(|seq| liked(1, seq, &format!("e{seq}"), 4))).await;
    let positions: Vec<Position> = outcomes
        .into_iter()
        .map(|outcome| if let Outcome::Stored(position) = outcome { position } else { panic!("{outcome:?}") })
        .collect();
    for (index, bytes) in [(0, b"one"), (3, b"two"), (2, b"old")] {
        store.save_coordinator_snapshot(positions[index], bytes.to_vec()).await.unwrap();
    }
    assert_eq!(
        store.coordinator_snapshot().await.unwrap(),
        Some((positions[3], b"two".to_vec())),
        "an older one is late"
    );
    place.tear_coordinator_snapshot(positions[3]);
    assert_eq!(store.coordinator_snapshot().await.unwrap(), Some((positions[0], b"one".to_vec())), "the one before it");
    store.save_coordinator_snapshot(positions[3], b"again".to_vec()).await.unwrap();
    assert_eq!(store.coordinator_snapshot().await.unwrap(), Some((positions[3], b"again".to_vec())), "healed");
}

async fn a_person_may_change_all_but_the_key(place: &impl Place) {
    let store = place.open().unwrap();
    let changed = Person { name: Some("Ada".into()), attributes: Some("{}".into()), ..person(1, "ada") };
    for version in [person(1, "ada"), changed.clone()] {
        store.append(vec![Write::Person(version)]).await.unwrap();
    }
    assert_eq!(catalogue(&store).await, [CatalogueRow::Person(changed.clone())]);
    assert!(changed.partition().0 < Partition::COUNT);
}

async fn the_graph_follows_the_journal(place: &impl Place) {
    let store = place.open().unwrap();
    let follow = |seq, target| other(1, seq, What::Followed(UserId(target)));
    append(&store, &[follow(1, 9), follow(2, 3), follow(3, 9), follow(4, 5)]).await;
    assert_eq!(store.follows(UserId(1)).await.unwrap(), [UserId(3), UserId(5), UserId(9)]);
    append(&store, &[other(1, 5, What::Unfollowed(UserId(3))), other(1, 6, What::Unfollowed(UserId(77)))]).await;
    assert_eq!(store.follows(UserId(1)).await.unwrap(), [UserId(5), UserId(9)]);
    let resent = append(&store, &[other(1, 1, What::Followed(UserId(4)))]).await;
    assert_eq!(resent, [Outcome::Duplicate(Seq(1))]);
    assert_eq!(store.follows(UserId(1)).await.unwrap(), [UserId(5), UserId(9)], "a duplicate follows nobody");
    assert_eq!(store.follows(UserId(9)).await.unwrap(), [], "the other way round is another matter");
}

async fn the_newest_interactions_come_first_and_only_interactions(place: &impl Place) {
    let store = place.open().unwrap();
    let (a, b) = (liked(1, 1, "a", 4), liked(2, 1, "b", 4));
    let (c, d) = (liked(1, 3, "c", 5), liked(1, 4, "d", 4));
    let list = [a.clone(), b.clone(), other(1, 2, What::Posted(ItemId(4))), c.clone(), d.clone()];
    append(&store, &list).await;
    for (name, slice, limit, expected) in [
        ("of a person", Slice::User(UserId(1)), 10, vec![d.clone(), c.clone(), a.clone()]),
        ("of a person, two", Slice::User(UserId(1)), 2, vec![d.clone(), c]),
        ("with an item", Slice::Item(ItemId(4)), 10, vec![d.clone(), b, a]),
        ("with an item, one", Slice::Item(ItemId(4)), 1, vec![d]),
        ("none asked for", Slice::User(UserId(1)), 0, vec![]),
        ("nobody", Slice::User(UserId(3)), 10, vec![]),
        ("nothing", Slice::Item(ItemId(6)), 10, vec![]),
    ] {
        assert_eq!(newest(&store, slice, None, limit).await, expected, "{name}");
        for limit in 1..=limit {
            let (mut pages, mut before) = (Vec::new(), None);
            loop {
                let page = store.newest(slice, before, limit).await.unwrap();
                let last = page.last().map(|(position, entry)| match slice {
                    Slice::User(_) => entry.seq.0,
                    Slice::Item(_) => position.0,
                });
                pages.extend(page.into_iter().map(|(_, entry)| entry));
                match last {
                    Some(last) => before = Some(last),
                    None => break,
                }
            }
            assert_eq!(pages[..expected.len()], expected, "{name}, in pages of {limit}");
        }
    }
}

async fn the_past_is_read_by_the_persons_own_time(place: &impl Place) {
    let store = place.open().unwrap();
    // The third was reported late: it happened before the second.
    let at = [100, 300, 200, 400];
    let list: Vec<Entry> =
        (1..=4).map(|seq| Entry { at: Millis(at[seq - 1]), ..liked(1, seq as u64, &format!("e{seq}"), 4) }).collect();
    append(&store, &list).await;
    for (until, expected) in
        [(99, vec![]), (100, vec![1]), (299, vec![1, 3]), (300, vec![1, 2, 3]), (i64::MAX, vec![1, 2, 3, 4])]
    {
        let found = store.entries_until(UserId(1), Millis(until)).await.unwrap();
        assert_eq!(found.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), expected, "until {until}");
    }
}

async fn pages_of_the_journal_join_without_gaps(place: &impl Place) {
    let store = place.open().unwrap();
    for seq in 1..=50 {
        append(&store, &[liked(1, seq, &format!("e{seq}"), 4), liked(2, seq, &format!("e{seq}"), 4)]).await;
        // Neither is stored, and neither must have side effects.
        append(&store, &[liked(1, seq, &format!("e{seq}"), 4), liked(3, 9, "gap", 4)]).await;
    }
    let whole = everything(&store).await;
    assert_eq!(whole.len(), 100);
    let (mut pages, mut after) = (Vec::new(), Position(0));
    loop {
        let page = store.scan(after, 7).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        assert!(page.len() <= 7);
        after = *last;
        pages.extend(page);
    }
    assert_eq!(pages, whole);
    assert_eq!(store.scan(Position(u64::MAX), 7).await.unwrap(), []);
}

async fn many_at_once_are_all_stored_once(place: &impl Place) {
    const PRODUCERS: u32 = 64;
    const EACH: u64 = 50;
    let store = place.open().unwrap();
    let producers = (0..PRODUCERS).map(|user| {
        let store = store.clone();
        tokio::spawn(async move {
            for seq in 1..=EACH {
                let entry = liked(user, seq, &format!("e{seq}"), user % 5);
                assert!(is_stored(&append(&store, std::slice::from_ref(&entry)).await[0]));
                // An acknowledged entry is visible to every later read.
                assert_eq!(store.find_event(UserId(user), entry.id).await.unwrap(), Some(Seq(seq)));
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
    drop(store);
    let store = place.open().unwrap();
    assert_eq!(everything(&store).await.len(), PRODUCERS as usize * EACH as usize);
    for user in 0..PRODUCERS {
        let tail = store.recover(UserId(user)).await.unwrap().tail;
        assert!(tail.iter().map(|entry| entry.seq.0).eq(1..=EACH), "user {user}");
    }
}

async fn reopening_sees_everything(place: &impl Place) {
    let store = place.open().unwrap();
    append(&store, &[liked(1, 1, "a", 4), other(1, 2, What::Followed(UserId(2)))]).await;
    store.append(vec![Write::Item(item(1, "x").into()), Write::Person(person(1, "ada"))]).await.unwrap();
    store.save_snapshot(UserId(1), Snapshot { seq: Seq(1), bytes: vec![1, 2, 3] }).await.unwrap();
    let Some(Outcome::Stored(last)) = append(&store, &[liked(1, 3, "c", 4)]).await.pop() else { panic!() };
    store.save_coordinator_snapshot(last, vec![4, 5]).await.unwrap();
    let seen = |store: Arc<dyn Store>| async move {
        (
            everything(&store).await,
            catalogue(&store).await,
            store.recover(UserId(1)).await.unwrap(),
            store.follows(UserId(1)).await.unwrap(),
            store.coordinator_snapshot().await.unwrap(),
            store.embedding(ItemId(1), 1).await.unwrap(),
        )
    };
    let before = seen(store).await;
    let after = seen(place.open().unwrap()).await;
    assert_eq!(after, before);
    assert_eq!((after.0.len(), after.1.len(), after.2.tail.len()), (3, 2, 2));
}

async fn what_was_asked_is_done_even_if_nobody_waits(place: &impl Place) {
    let store = place.open().unwrap();
    for seq in 1..=20 {
        let mut asked = store.append(entries(&[liked(1, seq, &format!("e{seq}"), 4)]));
        // Polled once, so that it is in the queue; then dropped.
        assert!(futures_util::poll!(&mut asked).is_pending());
        drop(asked);
    }
    drop(store);
    assert_eq!(everything(&place.open().unwrap()).await.len(), 20);
}

async fn a_reader_that_panics_harms_nobody_else(place: &impl Place) {
    let store = place.open().unwrap();
    store.append(vec![Write::Topic(TopicId(1), key("sea"))]).await.unwrap();
    for _ in 0..10 {
        let answer = store.catalogue(Box::new(|_| panic!("of the caller's callback, on purpose"))).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(catalogue(&store).await.len(), 1);
}

async fn a_healthy_store_says_so(place: &impl Place) {
    let store = place.open().unwrap();
    store.health().await.unwrap();
    store.health().await.unwrap();
    assert_eq!(everything(&store).await, []);
}

macro_rules! conformance {
    ($name:ident, $place:ty) => {
        conformance!($name, $place:
            a_batch_is_stored_in_order_and_read_back_as_it_was,
            a_batch_is_stored_whole_or_not_at_all,
            a_refused_batch_does_not_take_others_with_it,
            an_event_is_stored_once_however_often_it_is_sent,
            after_a_duplicate_later_entries_of_that_person_are_refused_and_only_those,
            the_numbers_of_a_person_are_consecutive_from_one,
            keys_and_texts_may_be_any_unicode,
            the_last_declaration_of_a_metric_is_kept,
            clusterings_keep_to_themselves,
            a_person_is_recovered_from_snapshot_and_tail,
            an_older_snapshot_never_overwrites_a_newer_one,
            a_snapshot_never_runs_ahead_of_the_journal,
            a_torn_snapshot_is_ignored_and_the_tail_is_everything,
            the_coordinator_gets_its_newest_readable_snapshot,
            the_catalogue_comes_back_whole_and_in_order,
            a_new_revision_replaces_the_item_and_keeps_the_earlier_embedding,
            what_learning_names_never_changes,
            a_query_finds_the_items_whose_texts_have_all_its_phrases,
            a_revised_text_is_found_by_its_new_words_and_a_removed_one_never,
            matches_are_ranked_filtered_and_read_page_by_page,
            of_too_many_matches_the_newest_are_ranked,
            a_store_without_a_text_index_gets_one_when_it_opens,
            a_person_may_change_all_but_the_key,
            the_graph_follows_the_journal,
            the_newest_interactions_come_first_and_only_interactions,
            the_past_is_read_by_the_persons_own_time,
            pages_of_the_journal_join_without_gaps,
            many_at_once_are_all_stored_once,
            reopening_sees_everything,
            what_was_asked_is_done_even_if_nobody_waits,
            a_reader_that_panics_harms_nobody_else,
            many_events_are_found_by_one_question,
            a_persons_entries_come_page_by_page,
            drawn_feeds_come_page_by_page,
            drawn_feeds_are_logged_once_until_they_are_too_old,
            drawn_feeds_go_with_their_person,
            the_last_fits_are_kept_with_the_places_of_the_newest,
            models_are_numbered_kept_and_published,
            models_that_served_last_and_the_newest_are_kept,
            a_model_with_a_number_keeps_it,
            places_go_with_whoever_is_erased,
            a_healthy_store_says_so,
            a_cancelled_entry_stays_with_a_mark,
            no_snapshot_includes_a_cancelled_entry,
            what_stands_is_listed_by_item_newest_first,
            a_cancelled_entry_can_be_copied_with_its_mark,
            since_when_what_is_so_comes_back_with_the_catalogue,
            both_ends_of_the_graph_are_known,
            of_who_was_erased_nothing_is_left_but_a_nameless_row,
            who_was_erased_stays_erased_whatever_was_under_way,
            a_key_is_free_as_soon_as_its_person_was_erased,
            an_erasure_that_fails_erases_nothing,
            a_key_is_kept_once_and_its_secret_goes_when_it_is_retired,
            tokens_are_listed_page_by_page_until_they_expire,
            a_revocation_is_kept_with_its_first_instant_until_the_token_expires,
            tokens_and_keys_survive_reopening,
            of_retired_keys_only_the_last_ones_stay,
            a_text_with_nul_is_refused_and_nothing_of_its_batch_is_stored,
        );
    };
    ($name:ident, $place:ty: $($case:ident,)+) => {
        mod $name {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    if <$place as Place>::is_left_out() {
                        return;
                    }
                    super::$case(&<$place as Place>::new()).await;
                }
            )+
        }
    };
}

/// A directory whose name needs escaping.
struct Directory {
    directory: tempfile::TempDir,
}

impl Directory {
    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("with space/ünï ?mode=ro#🌊")
    }

    fn sql(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path().join("eddyline.db")).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        connection.execute_batch(sql).unwrap();
    }
}

impl Place for Directory {
    fn new() -> Self {
        Directory { directory: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(Embedded::open(&self.path())?))
    }

    fn delete_text_index(&self) {
        self.sql("DELETE FROM item_words");
    }

    fn tear_snapshot(&self, user: UserId) {
        let half = "bytes = substr(bytes, 1, length(bytes) / 2)";
        self.sql(&format!("UPDATE snapshots SET {half} WHERE user_id = {}", user.0));
    }

    fn tear_coordinator_snapshot(&self, covers: Position) {
        let half = "bytes = substr(bytes, 1, length(bytes) / 2)";
        self.sql(&format!("UPDATE coordinator_snapshots SET {half} WHERE position = {}", covers.0));
    }
}

conformance!(embedded, Directory);

/// A database of its own in a cluster that all cases share.
struct Database {
    url: PostgresUrl,
    name: String,
}

impl Place for Database {
    fn is_left_out() -> bool {
        postgres::skipped()
    }

    fn new() -> Self {
        static MIGRATED: LazyLock<String> = LazyLock::new(|| {
            let name = postgres::shared().database();
            let url = PostgresUrl::parse(&postgres::shared().url(&name)).unwrap();
            drop(wait_for(Postgres::open(&url, &PostgresSettings::default())).unwrap());
            name
        });
        let name = postgres::shared().database_like(&MIGRATED);
        Database { url: PostgresUrl::parse(&postgres::shared().url(&name)).unwrap(), name }
    }

    fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        let settings = PostgresSettings { connections_max: 4, ..PostgresSettings::default() };
        Ok(Arc::new(wait_for(Postgres::open(&self.url, &settings))?))
    }

    fn delete_text_index(&self) {
        postgres::shared().sql(&self.name, "DELETE FROM item_words");
    }

    fn tear_snapshot(&self, user: UserId) {
        let half = "bytes = substr(bytes, 1, length(bytes) / 2)";
        postgres::shared().sql(&self.name, &format!("UPDATE snapshots SET {half} WHERE user_id = {}", user.0));
    }

    fn tear_coordinator_snapshot(&self, covers: Position) {
        let half = "bytes = substr(bytes, 1, length(bytes) / 2)";
        let sql = format!("UPDATE coordinator_snapshots SET {half} WHERE position = {}", covers.0);
        postgres::shared().sql(&self.name, &sql);
    }
}

conformance!(postgres_store, Database);

/// A minimal executor: it parks the thread.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}
