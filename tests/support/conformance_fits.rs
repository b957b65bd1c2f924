//! Conformance cases of cluster fits.

use super::*;
use eddyline::domain::clusterings::{ClusterName, ClusteringChange, REVISIONS_KEPT, Revision};
use eddyline::store::{FITS_KEPT, StoredFit};

fn fit(epoch: u64) -> StoredFit {
    let summary = format!("{{\"epoch\":{epoch}}}");
    let state = vec![0, 255, epoch as u8];
    let (clustering, members) = ("default".to_owned(), Some(vec![7, epoch as u8]));
    StoredFit { clustering, epoch, fitted_at: Millis(1_000 + epoch as i64), summary, state, members }
}

fn settled(epoch: u64) -> StoredFit {
    StoredFit { members: None, ..fit(epoch) }
}

pub(super) async fn the_last_fits_are_kept_with_the_places_of_the_newest(place: &impl Place) {
    let mut store = place.open().unwrap();
    assert_eq!(store.fits("default", 10).await.unwrap(), []);
    store.save_fit(fit(1)).await.unwrap();
    store.save_fit(fit(2)).await.unwrap();
    // Again, with other contents: the first summary stays.
    store.save_fit(StoredFit { summary: "{}".into(), ..fit(2) }).await.unwrap();
    for _ in ["at once", "opened again"] {
        assert_eq!(store.fits("default", 10).await.unwrap(), [fit(2), settled(1)]);
        assert_eq!(store.fits("default", 1).await.unwrap(), [fit(2)]);
        drop(store);
        store = place.open().unwrap();
    }
    let last = u64::from(FITS_KEPT) + 20;
    for epoch in 3..=last {
        store.save_fit(fit(epoch)).await.unwrap();
    }
    let kept = store.fits("default", 1_000).await.unwrap();
    assert_eq!((kept.len(), &kept[0]), (FITS_KEPT as usize, &fit(last)));
    assert_eq!(kept.last(), Some(&settled(last - u64::from(FITS_KEPT) + 1)));
    assert!(store.save_fit(StoredFit { epoch: u64::MAX, ..fit(0) }).await.is_err(), "a number beyond the column");
}

pub(super) async fn places_go_with_whoever_is_erased(place: &impl Place) {
    let store = place.open().unwrap();
    two_people(&store).await;
    store.save_fit(fit(1)).await.unwrap();
    store.append(vec![Write::Erase(ada_goes())]).await.unwrap();
    assert_eq!(store.fits("default", 10).await.unwrap(), [settled(1)], "what is told names nobody, and stays");
    store.save_fit(fit(2)).await.unwrap();
    assert_eq!(store.fits("default", 1).await.unwrap(), [fit(2)]);
}

/// Fits of two clusterings have numbers, retention and memberships of their own. A deletion takes all that is stored of one
/// clustering, and nothing of the other.
pub(super) async fn clusterings_keep_to_themselves(place: &impl Place) {
    let of = |clustering: &str, fit: StoredFit| StoredFit { clustering: clustering.into(), ..fit };
    let revision = |clustering: &str, revision| Revision {
        clustering: clustering.into(),
        revision,
        changed_at: Millis(1_000 + i64::from(revision)),
        settings: format!("{{\"threshold\":{revision}}}"),
    };
    let named = |clustering: &str, cluster, name: &str| ClusterName {
        clustering: clustering.into(),
        cluster,
        name: name.into(),
    };
    let revise = |one: Revision| Write::Clustering(ClusteringChange::Revise(one));
    let name = |one: ClusterName| Write::Clustering(ClusteringChange::Name(one));
    let store = place.open().unwrap();
    let mut batch: Vec<Write> = (1..=REVISIONS_KEPT + 5).map(|number| revise(revision("pages", number))).collect();
    // Both are in one batch with a deletion between them, and the order counts.
    batch.push(revise(revision("topics", 7)));
    batch.push(name(named("topics", 3, "gone")));
    batch.push(Write::Clustering(ClusteringChange::Delete("topics".into())));
    batch.push(revise(revision("topics", 1)));
    batch.push(name(named("pages", 0, "first")));
    batch.push(name(named("pages", 0, "night ß readers")));
    batch.push(name(named("pages", 4_000_000_000, "x")));
    batch.push(name(named("topics", 0, "night ß readers")));
    batch.push(Write::Clustering(ClusteringChange::Unname("pages".into(), 4_000_000_000)));
    assert!(store.append(batch).await.unwrap().iter().all(is_stored));
    for epoch in 1..=3 {
        store.save_fit(of("pages", fit(epoch))).await.unwrap();
        store.save_fit(of("topics", fit(epoch))).await.unwrap();
    }
    let kept: Vec<CatalogueRow> =
        (6..=REVISIONS_KEPT + 5).map(|n| CatalogueRow::Clustering(revision("pages", n))).collect();
    let mut expected = kept.clone();
    expected.push(CatalogueRow::Clustering(revision("topics", 1)));
    expected.push(CatalogueRow::ClusterName(named("pages", 0, "night ß readers")));
    expected.push(CatalogueRow::ClusterName(named("topics", 0, "night ß readers")));
    assert_eq!(catalogue(&store).await, expected);
    assert_eq!(store.fits("pages", 2).await.unwrap(), [of("pages", fit(3)), of("pages", settled(2))]);
    let change = |change| store.append(vec![Write::Clustering(change)]);
    change(ClusteringChange::Delete("pages".into())).await.unwrap();
    change(ClusteringChange::Reset("topics".into())).await.unwrap();
    drop(store);
    let store = place.open().unwrap();
    assert_eq!(catalogue(&store).await, [CatalogueRow::ClusterName(named("topics", 0, "night ß readers"))]);
    assert_eq!(store.fits("pages", 10).await.unwrap(), []);
    assert_eq!(store.fits("topics", 10).await.unwrap().len(), 3, "a reset keeps fits and names");
    assert_eq!(store.fits("default", 10).await.unwrap(), []);
}
