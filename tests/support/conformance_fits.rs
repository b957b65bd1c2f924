//! Conformance cases of cluster fits.

use super::*;
use eddyline::store::{FITS_KEPT, StoredFit};

fn fit(epoch: u64) -> StoredFit {
    let summary = format!("{{\"epoch\":{epoch}}}");
    let state = vec![0, 255, epoch as u8];
    StoredFit { epoch, fitted_at: Millis(1_000 + epoch as i64), summary, state, members: Some(vec![7, epoch as u8]) }
}

fn settled(epoch: u64) -> StoredFit {
    StoredFit { members: None, ..fit(epoch) }
}

pub(super) async fn the_last_fits_are_kept_with_the_places_of_the_newest(place: &impl Place) {
    let mut store = place.open().unwrap();
    assert_eq!(store.fits(10).await.unwrap(), []);
    store.save_fit(fit(1)).await.unwrap();
    store.save_fit(fit(2)).await.unwrap();
    // Again, with other contents: the first summary stays.
    store.save_fit(StoredFit { summary: "{}".into(), ..fit(2) }).await.unwrap();
    for _ in ["at once", "opened again"] {
        assert_eq!(store.fits(10).await.unwrap(), [fit(2), settled(1)]);
        assert_eq!(store.fits(1).await.unwrap(), [fit(2)]);
        drop(store);
        store = place.open().unwrap();
    }
    let last = u64::from(FITS_KEPT) + 20;
    for epoch in 3..=last {
        store.save_fit(fit(epoch)).await.unwrap();
    }
    let kept = store.fits(1_000).await.unwrap();
    assert_eq!((kept.len(), &kept[0]), (FITS_KEPT as usize, &fit(last)));
    assert_eq!(kept.last(), Some(&settled(last - u64::from(FITS_KEPT) + 1)));
    assert!(store.save_fit(StoredFit { epoch: u64::MAX, ..fit(0) }).await.is_err(), "a number beyond the column");
}

pub(super) async fn places_go_with_whoever_is_erased(place: &impl Place) {
    let store = place.open().unwrap();
    two_people(&store).await;
    store.save_fit(fit(1)).await.unwrap();
    store.append(vec![Write::Erase(ada_goes())]).await.unwrap();
    assert_eq!(store.fits(10).await.unwrap(), [settled(1)], "what is told names nobody, and stays");
    store.save_fit(fit(2)).await.unwrap();
    assert_eq!(store.fits(1).await.unwrap(), [fit(2)]);
}
