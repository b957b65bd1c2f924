//! The rows of a plan except its entries, as statements inside the transaction of the caller.
//!
//! Invariant: one statement per table and wave, whatever the number of rows. Revisions, centres and keys never change:
//! a write that would change one is refused, not ignored. Absent on purpose: transactions, order of calls.

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::plan::Tables;
use super::rows::Instant;
use super::text_index;
use crate::domain::clusterings::{ClusterName, ClusteringChange, REVISIONS_KEPT, Revision};
use crate::domain::ids::{Partition, UserId};
use crate::domain::items::Item;
use crate::domain::people::Erasure;
use crate::domain::time::Millis;
use crate::store::activities::{ERASE_FEEDS, ERASE_ITEM_ACTIVITY};
use crate::store::codec::{self, COORDINATOR};
use crate::store::error::StoreError;

const FOLLOWS_INSERT: &str = include_str!("../../../sql/queries/postgres/follows_insert.sql");
const FOLLOWS_DELETE: &str = include_str!("../../../sql/queries/postgres/follows_delete.sql");
const PEOPLE_SAVE: &str = include_str!("../../../sql/queries/postgres/people_save.sql");
const TOPICS_SAVE: &str = include_str!("../../../sql/queries/postgres/topics_save.sql");
const CENTRES_SAVE: &str = include_str!("../../../sql/queries/postgres/centres_save.sql");
const ITEMS_SAVE: &str = include_str!("../../../sql/queries/postgres/items_save.sql");
const ITEM_WORDS_SAVE: &str = include_str!("../../../sql/queries/postgres/item_words_save.sql");
const ITEM_WORDS_DELETE: &str = include_str!("../../../sql/queries/postgres/item_words_delete.sql");
const EMBEDDINGS_SAVE: &str = include_str!("../../../sql/queries/postgres/embeddings_save.sql");
const WINDOWS_DELETE: &str = include_str!("../../../sql/queries/postgres/windows_delete.sql");
const WINDOWS_INSERT: &str = include_str!("../../../sql/queries/postgres/windows_insert.sql");
const CHANGES_SAVE: &str = include_str!("../../../sql/queries/postgres/changes_save.sql");
const METRIC_SAVE: &str = include_str!("../../../sql/queries/metric_save.sql");
const CLUSTERING_SAVE: &str = include_str!("../../../sql/queries/clustering_save.sql");
const CLUSTERING_TRIM: &str = include_str!("../../../sql/queries/clustering_trim.sql");
const CLUSTERING_DELETE: &str = include_str!("../../../sql/queries/clustering_delete.sql");
const CLUSTERING_FITS_DELETE: &str = include_str!("../../../sql/queries/clustering_fits_delete.sql");
const CLUSTER_NAME_SAVE: &str = include_str!("../../../sql/queries/cluster_name_save.sql");
const CLUSTER_NAME_DELETE: &str = include_str!("../../../sql/queries/cluster_name_delete.sql");
const CLUSTER_NAMES_DELETE: &str = include_str!("../../../sql/queries/cluster_names_delete.sql");
const METRIC_DELETE: &str = include_str!("../../../sql/queries/metric_delete.sql");
const JOURNAL_CANCEL: &str = include_str!("../../../sql/queries/postgres/journal_cancel.sql");
const SNAPSHOT_CANCEL: &str = include_str!("../../../sql/queries/snapshot_cancel.sql");
const ERASE_JOURNAL: &str = include_str!("../../../sql/queries/erase_journal.sql");
const ERASE_SNAPSHOT: &str = include_str!("../../../sql/queries/erase_snapshot.sql");
const ERASE_FOLLOWS: &str = include_str!("../../../sql/queries/erase_follows.sql");
const ERASE_COORDINATOR_SNAPSHOTS: &str = include_str!("../../../sql/queries/erase_coordinator_snapshots.sql");
const ERASE_SLATES: &str = include_str!("../../../sql/queries/erase_slates.sql");
const ERASE_CLUSTER_MEMBERS: &str = include_str!("../../../sql/queries/erase_cluster_members.sql");
const ERASE_TOKENS: &str = include_str!("../../../sql/queries/erase_tokens.sql");
const ERASE_PERSON: &str = include_str!("../../../sql/queries/erase_person.sql");
const ERASE_ITEM: &str = include_str!("../../../sql/queries/erase_item.sql");
const ERASE_CHANGES: &str = include_str!("../../../sql/queries/erase_changes.sql");
const SNAPSHOTS_SAVE: &str = include_str!("../../../sql/queries/postgres/snapshots_save.sql");
const COORDINATOR_SNAPSHOT_NEWEST: &str = include_str!("../../../sql/queries/coordinator_snapshot_newest.sql");
const COORDINATOR_SNAPSHOT_SAVE: &str = include_str!("../../../sql/queries/coordinator_snapshot_save.sql");
const COORDINATOR_SNAPSHOTS_TRIM: &str = include_str!("../../../sql/queries/coordinator_snapshots_trim.sql");
const HEALTH_TOUCH: &str = include_str!("../../../sql/queries/health_touch.sql");

/// Parameters of a statement.
type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];

/// Writes all rows of a plan except those of the journal.
pub(super) async fn others(client: &Transaction<'_>, plan: &Tables<'_>) -> Result<(), StoreError> {
    for wave in &plan.topics.waves {
        let (ids, keys): (Vec<i64>, Vec<&str>) = wave.iter().map(|(id, key)| (i64::from(id.0), key.as_str())).unzip();
        let kept = ids_returned(client, TOPICS_SAVE, &[&ids, &keys]).await?;
        unchanged(&ids, &kept, |id| format!("the key of topic {id}"))?;
    }
    for wave in &plan.people.waves {
        let ids: Vec<i64> = wave.iter().map(|person| i64::from(person.id.0)).collect();
        let keys: Vec<&str> = wave.iter().map(|person| person.key.as_str()).collect();
        let partitions: Vec<i64> = wave.iter().map(|person| i64::from(person.partition().0)).collect();
        let names: Vec<Option<&str>> = wave.iter().map(|person| person.name.as_deref()).collect();
        let attributes: Vec<Option<&str>> = wave.iter().map(|person| person.attributes.as_deref()).collect();
        let created = instants("created", wave.iter().map(|person| person.created))?;
        let kept =
            ids_returned(client, PEOPLE_SAVE, &[&ids, &keys, &partitions, &names, &attributes, &created]).await?;
        unchanged(&ids, &kept, |id| format!("the key of person {id}"))?;
    }
    for wave in &plan.items.waves {
        items(client, wave).await?;
    }
    for wave in &plan.centres.waves {
        let names: Vec<(i64, i64)> =
            wave.iter().map(|(name, _)| (i64::from(name.topic.0), i64::from(name.epoch))).collect();
        let vectors: Vec<Vec<u8>> = wave.iter().map(|(_, vector)| codec::floats_to_bytes(vector)).collect();
        let (topics, epochs): (Vec<i64>, Vec<i64>) = names.iter().copied().unzip();
        let kept = pairs_returned(client, CENTRES_SAVE, &[&topics, &epochs, &vectors]).await?;
        unchanged(&names, &kept, |(topic, epoch)| format!("epoch {epoch} of the centre of topic {topic}"))?;
    }
    if !plan.changes.is_empty() {
        let rows: Vec<_> = plan.changes.keys().map(|change| codec::change_to_row(*change)).collect();
        let kinds: Vec<&str> = rows.iter().map(|(kind, ..)| *kind).collect();
        let ids: Vec<i64> = rows.iter().map(|(_, id, _)| i64::from(*id)).collect();
        let numbers: Vec<i64> = rows.iter().map(|(.., number)| i64::from(*number)).collect();
        let since = instants("since", plan.changes.values().copied())?;
        run(client, CHANGES_SAVE, &[&kinds, &ids, &numbers, &since]).await?;
    }
    for (name, declaration) in &plan.metrics {
        match declaration {
            Some(declaration) => {
                run(client, METRIC_SAVE, &[&name.as_str(), &codec::declaration_to_text(declaration)?]).await?;
            }
            None => run(client, METRIC_DELETE, &[&name.as_str()]).await?,
        }
    }
    for change in &plan.clusterings {
        clustering(client, change).await?;
    }
    follows(client, plan).await?;
    snapshots(client, plan).await
}

async fn clustering(client: &Transaction<'_>, change: &ClusteringChange) -> Result<(), StoreError> {
    match change {
        ClusteringChange::Revise(Revision { clustering, revision, changed_at, settings }) => {
            let (revision, changed_at) = (i64::from(*revision), Instant::of("changed_at", *changed_at)?);
            run(client, CLUSTERING_SAVE, &[clustering, &revision, &changed_at, settings]).await?;
            run(client, CLUSTERING_TRIM, &[clustering, &(revision - i64::from(REVISIONS_KEPT))]).await
        }
        ClusteringChange::Reset(clustering) => run(client, CLUSTERING_DELETE, &[clustering]).await,
        ClusteringChange::Delete(clustering) => {
            for delete in [CLUSTERING_DELETE, CLUSTER_NAMES_DELETE, CLUSTERING_FITS_DELETE] {
                run(client, delete, &[clustering]).await?;
            }
            Ok(())
        }
        ClusteringChange::Name(ClusterName { clustering, cluster, name }) => {
            run(client, CLUSTER_NAME_SAVE, &[clustering, &i64::from(*cluster), name]).await
        }
        ClusteringChange::Unname(clustering, cluster) => {
            run(client, CLUSTER_NAME_DELETE, &[clustering, &i64::from(*cluster)]).await
        }
    }
}

/// Marks cancelled entries, which must be stored, and deletes the snapshots that include any of them.
pub(super) async fn cancel(client: &Transaction<'_>, plan: &Tables<'_>) -> Result<(), StoreError> {
    if plan.undone.is_empty() {
        return Ok(());
    }
    let (mut people, mut seqs, mut by) = (Vec::<i64>::new(), Vec::<i64>::new(), Vec::<i64>::new());
    for (user, number, cancels) in &plan.undone {
        for seq in *cancels {
            people.push(i64::from(user.0));
            seqs.push(codec::integer("seq", seq.0)?);
            by.push(codec::integer("seq", number.0)?);
        }
    }
    run(client, JOURNAL_CANCEL, &[&people, &seqs, &by]).await?;
    for (user, _, cancels) in &plan.undone {
        if let Some(first) = cancels.first() {
            run(client, SNAPSHOT_CANCEL, &[&i64::from(user.0), &codec::integer("seq", first.0)?]).await?;
        }
    }
    Ok(())
}

/// Writes one row as a health check.
pub(super) async fn health(client: &Transaction<'_>) -> Result<(), StoreError> {
    run(client, HEALTH_TOUCH, &[]).await
}

async fn items(client: &Transaction<'_>, wave: &[&Item]) -> Result<(), StoreError> {
    let ids: Vec<i64> = wave.iter().map(|item| i64::from(item.id.0)).collect();
    let keys: Vec<&str> = wave.iter().map(|item| item.key.as_str()).collect();
    let revisions: Vec<i64> = wave.iter().map(|item| i64::from(item.revision)).collect();
    let author_ids: Vec<Option<i64>> =
        wave.iter().map(|item| item.author.as_ref().map(|author| i64::from(author.id.0))).collect();
    let author_keys: Vec<Option<&str>> =
        wave.iter().map(|item| item.author.as_ref().map(|author| author.key.as_str())).collect();
    let topics: Vec<String> = wave.iter().map(|item| codec::topics_to_text(&item.topics)).collect();
    let texts: Vec<&str> = wave.iter().map(|item| &*item.text).collect();
    let created = instants("created", wave.iter().map(|item| item.created))?;
    let deleted: Vec<bool> = wave.iter().map(|item| item.deleted).collect();
    let attributes: Vec<Option<&str>> = wave.iter().map(|item| item.attributes.as_deref()).collect();
    let kept = ids_returned(
        client,
        ITEMS_SAVE,
        &[&ids, &keys, &revisions, &author_ids, &author_keys, &topics, &texts, &created, &deleted, &attributes],
    )
    .await?;
    unchanged(&ids, &kept, |id| format!("the key of item {id}"))?;

    let vectors: Vec<Vec<u8>> = wave.iter().map(|item| codec::floats_to_bytes(&item.embedding)).collect();
    let kept = pairs_returned(client, EMBEDDINGS_SAVE, &[&ids, &revisions, &vectors]).await?;
    let names: Vec<(i64, i64)> = ids.iter().copied().zip(revisions.iter().copied()).collect();
    unchanged(&names, &kept, |(item, revision)| format!("the embedding of item {item} in revision {revision}"))?;

    let (gone, shown): (Vec<&Item>, Vec<&Item>) = wave.iter().partition(|item| item.deleted);
    if !gone.is_empty() {
        let gone: Vec<i64> = gone.iter().map(|item| i64::from(item.id.0)).collect();
        run(client, ITEM_WORDS_DELETE, &[&gone]).await?;
    }
    if !shown.is_empty() {
        let (ids, words): (Vec<i64>, Vec<String>) =
            shown.iter().map(|item| (i64::from(item.id.0), text_index::tsvector(&item.text))).unzip();
        run(client, ITEM_WORDS_SAVE, &[&ids, &words]).await?;
    }

    run(client, WINDOWS_DELETE, &[&ids]).await?;
    let (owners, starts, stops) = windows(wave)?;
    if owners.is_empty() {
        return Ok(());
    }
    run(client, WINDOWS_INSERT, &[&owners, &starts, &stops]).await
}

/// Columns of table `windows`.
type Windows = (Vec<i64>, Vec<Instant>, Vec<Option<Instant>>);

fn windows(wave: &[&Item]) -> Result<Windows, StoreError> {
    let (mut owners, mut starts, mut stops) = Windows::default();
    for item in wave {
        for window in item.windows.as_slice() {
            owners.push(i64::from(item.id.0));
            starts.push(Instant::of("start", window.start)?);
            stops.push(window.stop.map(|stop| Instant::of("stop", stop)).transpose()?);
        }
    }
    Ok((owners, starts, stops))
}

async fn follows(client: &Transaction<'_>, plan: &Tables<'_>) -> Result<(), StoreError> {
    let pair = |(source, target): &(UserId, UserId)| (i64::from(source.0), i64::from(target.0));
    let (sources, targets): (Vec<i64>, Vec<i64>) =
        plan.follows.iter().filter(|(_, follow)| follow.ended).map(|(names, _)| pair(names)).unzip();
    if !sources.is_empty() {
        run(client, FOLLOWS_DELETE, &[&sources, &targets]).await?;
    }
    let begun = plan.follows.iter().filter_map(|(names, follow)| follow.since.map(|since| (pair(names), since)));
    let (sources, targets): (Vec<i64>, Vec<i64>) = begun.clone().map(|(names, _)| names).unzip();
    if !sources.is_empty() {
        let since = instants("since", begun.map(|(_, since)| since))?;
        run(client, FOLLOWS_INSERT, &[&sources, &targets, &since]).await?;
    }
    Ok(())
}

async fn snapshots(client: &Transaction<'_>, plan: &Tables<'_>) -> Result<(), StoreError> {
    if !plan.snapshots.is_empty() {
        let people: Vec<i64> = plan.snapshots.keys().map(|user| i64::from(user.0)).collect();
        let seqs: Vec<i64> =
            plan.snapshots.values().map(|snapshot| codec::integer("seq", snapshot.seq.0)).collect::<Result<_, _>>()?;
        let checksums: Vec<i64> = plan
            .snapshots
            .iter()
            .map(|(user, snapshot)| codec::snapshot_checksum(u64::from(user.0), snapshot.seq.0, &snapshot.bytes))
            .collect();
        let bytes: Vec<&[u8]> = plan.snapshots.values().map(|snapshot| &*snapshot.bytes).collect();
        run(client, SNAPSHOTS_SAVE, &[&people, &seqs, &checksums, &bytes]).await?;
    }
    for (covers, bytes) in &plan.coordinator_snapshots {
        let covers = codec::integer("position", covers.0)?;
        let statement = client.prepare_cached(COORDINATOR_SNAPSHOT_NEWEST).await?;
        let newest: Option<i64> = client.query_one(&statement, &[]).await?.try_get(0)?;
        if newest.is_some_and(|newest| newest > covers) {
            continue;
        }
        let checksum = codec::snapshot_checksum(COORDINATOR, covers.cast_unsigned(), bytes);
        run(client, COORDINATOR_SNAPSHOT_SAVE, &[&covers, &checksum, bytes]).await?;
        run(client, COORDINATOR_SNAPSHOTS_TRIM, &[]).await?;
    }
    Ok(())
}

/// Erases a person: their rows become tombstones, and all rows that reference them are deleted.
pub(super) async fn erase(client: &Transaction<'_>, erasure: &Erasure) -> Result<(), StoreError> {
    let Erasure { user, key, at, items } = erasure;
    let id = i64::from(user.0);
    run(client, ERASE_JOURNAL, &[&id]).await?;
    run(client, ERASE_SNAPSHOT, &[&id]).await?;
    run(client, ERASE_FOLLOWS, &[&id]).await?;
    run(client, ERASE_COORDINATOR_SNAPSHOTS, &[]).await?;
    run(client, ERASE_CLUSTER_MEMBERS, &[]).await?;
    run(client, ERASE_TOKENS, &[&id]).await?;
    for statement in ERASE_FEEDS {
        run(client, statement, &[&id]).await?;
    }
    let partition = i64::from(Partition::of(key).0);
    let at = Instant::of("created", *at)?;
    let found = ids_returned(client, ERASE_PERSON, &[&key.as_str(), &partition, &at, &id]).await?;
    require(found.len(), "person", user.0)?;
    // The row is locked now: a concurrent log of a feed committed before, or finds the person erased.
    run(client, ERASE_SLATES, &[&id]).await?;
    for (item, key) in items {
        let id = i64::from(item.0);
        for statement in ERASE_ITEM_ACTIVITY {
            run(client, statement, &[&id]).await?;
        }
        require(ids_returned(client, ERASE_ITEM, &[&key.as_str(), &id]).await?.len(), "item", item.0)?;
        run(client, ITEM_WORDS_DELETE, &[&vec![id]]).await?;
        run(client, WINDOWS_DELETE, &[&vec![id]]).await?;
        run(client, ERASE_CHANGES, &[&id]).await?;
    }
    Ok(())
}

fn require(found: usize, what: &str, id: u32) -> Result<(), StoreError> {
    if found == 1 { Ok(()) } else { Err(StoreError::Refused(format!("there is no {what} {id} to be erased"))) }
}

fn instants(what: &'static str, at: impl Iterator<Item = Millis>) -> Result<Vec<Instant>, StoreError> {
    at.map(|at| Instant::of(what, at)).collect()
}

async fn run(client: &Transaction<'_>, sql: &str, parameters: Parameters<'_>) -> Result<(), StoreError> {
    let statement = client.prepare_cached(sql).await?;
    client.execute(&statement, parameters).await?;
    Ok(())
}

async fn ids_returned(client: &Transaction<'_>, sql: &str, parameters: Parameters<'_>) -> Result<Vec<i64>, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    let found = client.query(&statement, parameters).await?;
    found.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn pairs_returned(
    client: &Transaction<'_>,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    let found = client.query(&statement, parameters).await?;
    found.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Refuses a write that would change a stored row: the statement returned fewer rows than it was given.
fn unchanged<T: Copy + Eq>(written: &[T], kept: &[T], what: impl Fn(T) -> String) -> Result<(), StoreError> {
    if written.len() == kept.len() {
        return Ok(());
    }
    let missing = written.iter().copied().find(|written| !kept.contains(written));
    let what = missing.map_or_else(|| "something".into(), what);
    Err(StoreError::Refused(format!("{what} can never change")))
}
