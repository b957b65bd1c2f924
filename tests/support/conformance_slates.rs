//! Conformance cases of the log of drawn feeds.

use super::*;
use eddyline::domain::feeds::{Ranking, Slate};
use eddyline::domain::ids::Epoch;

fn drawn(user: u32, version: u64, at: i64) -> Slate {
    let items = vec![(ItemId(7), 1.0), (ItemId(u32::MAX), 0.25), (ItemId(0), f32::MIN_POSITIVE)];
    Slate {
        user: UserId(user),
        version: FeedVersion(version),
        at: Millis(at),
        epoch: Epoch(3),
        ranking: Ranking::Model,
        items,
    }
}

async fn all_of(store: &Arc<dyn Store>, user: u32) -> Vec<Slate> {
    store.slates(UserId(user), None, u32::MAX).await.unwrap()
}

pub(super) async fn drawn_feeds_come_page_by_page(place: &impl Place) {
    let store = place.open().unwrap();
    two_people(&store).await;
    let all: Vec<Slate> = [0, 3, 5, 1 << 60].into_iter().map(|version| drawn(1, version, 100)).collect();
    store.log_slates([&all[..], &[drawn(2, 4, 100)]].concat(), None).await.unwrap();
    for (name, after, limit, expected) in [
        ("the first page", None, 2, &all[..2]),
        ("the next one", Some(3), 2, &all[2..]),
        ("after a version that is not there", Some(4), 9, &all[2..]),
        ("after the last", Some(1 << 60), 9, &[]),
        ("after the first, which is zero", Some(0), 1, &all[1..2]),
    ] {
        assert_eq!(store.slates(UserId(1), after.map(FeedVersion), limit).await.unwrap(), expected, "{name}");
    }
}

pub(super) async fn drawn_feeds_are_logged_once_until_they_are_too_old(place: &impl Place) {
    let mut store = place.open().unwrap();
    two_people(&store).await;
    let empty = Slate { items: Vec::new(), ranking: Ranking::Flat, ..drawn(2, 1, 50) };
    let all = [drawn(1, 8, 100), drawn(1, 9, 200), drawn(1, 1 << 60, 300), empty.clone()];
    store.log_slates(all.to_vec(), None).await.unwrap();
    // Again, with other contents: the first log entry stays.
    store.log_slates(vec![Slate { items: Vec::new(), ..drawn(1, 8, 999) }, drawn(77, 1, 1)], None).await.unwrap();
    store.log_slates(Vec::new(), None).await.unwrap();
    for _ in ["at once", "opened again"] {
        assert_eq!(all_of(&store, 1).await, all[..3]);
        assert_eq!(all_of(&store, 2).await, std::slice::from_ref(&empty));
        assert_eq!(all_of(&store, 77).await, [], "nobody of this number is known");
        drop(store);
        store = place.open().unwrap();
    }
    store.log_slates(vec![drawn(2, 2, 400)], Some(Millis(200))).await.unwrap();
    assert_eq!(all_of(&store, 1).await, all[1..3], "what was drawn before that instant is gone");
    assert_eq!(all_of(&store, 2).await, [drawn(2, 2, 400)]);
}

pub(super) async fn drawn_feeds_go_with_their_person(place: &impl Place) {
    let store = place.open().unwrap();
    two_people(&store).await;
    store.log_slates(vec![drawn(1, 8, 100), drawn(2, 8, 100)], None).await.unwrap();
    // Concurrent: whichever comes first, nothing remains.
    let erasing = store.append(vec![Write::Erase(ada_goes())]);
    let logging = store.log_slates((9..200).map(|version| drawn(1, version, 100)).collect(), None);
    let (erased, logged) = futures_util::join!(erasing, logging);
    erased.unwrap();
    logged.unwrap();
    assert_eq!(all_of(&store, 1).await, []);
    store.log_slates(vec![drawn(1, 500, 100)], None).await.unwrap();
    assert_eq!(all_of(&store, 1).await, [], "and nothing comes later");
    assert_eq!(all_of(&store, 2).await.len(), 1);
}
