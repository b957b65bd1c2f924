//! Conformance cases of undo: cancelled entries stay, marked, and no snapshot includes them.

use super::*;

fn of_kind(user: u32, seq: u64, id: &str, item: u32, kind: Kind) -> Entry {
    let mut entry = liked(user, seq, id, item);
    if let What::Interacted(learned) = &mut entry.what {
        learned.kind = kind;
    }
    entry
}

fn undone(user: u32, seq: u64, cancels: &[u64]) -> Entry {
    let cancels = cancels.iter().copied().map(Seq).collect();
    other(user, seq, What::Undone(Undone { of: Undo::Item(ItemId(4), Inverse::Unlike), cancels }))
}

fn cancelled(entry: &Entry, by: u64) -> Entry {
    Entry { what: What::Cancelled(Box::new(Cancelled { by: Seq(by), what: entry.what.clone() })), ..entry.clone() }
}

pub(super) async fn a_cancelled_entry_stays_with_a_mark(place: &impl Place) {
    let mut store = place.open().unwrap();
    let (a, b, c) = (liked(1, 1, "a", 4), liked(1, 2, "b", 4), liked(1, 3, "c", 5));
    append(&store, &[a.clone(), b.clone(), c.clone(), liked(2, 1, "a", 4)]).await;
    let undo = undone(1, 4, &[1, 3]);
    assert!(append(&store, std::slice::from_ref(&undo)).await.iter().all(is_stored));
    let expected = [cancelled(&a, 4), b.clone(), cancelled(&c, 4), undo.clone()];
    for _ in ["at once", "opened again"] {
        assert_eq!(store.entries_until(UserId(1), Millis::MAX).await.unwrap(), expected);
        assert_eq!(store.entries(UserId(1), Seq(0), Millis::MAX, 9).await.unwrap(), expected);
        assert_eq!(store.recover(UserId(1)).await.unwrap().tail, expected);
        assert_eq!(store.find_events(UserId(1), vec![key("c")]).await.unwrap(), [cancelled(&c, 4)]);
        assert_eq!(newest(&store, Slice::User(UserId(1)), None, 9).await, std::slice::from_ref(&b));
        assert_eq!(newest(&store, Slice::Item(ItemId(4)), None, 9).await, [liked(2, 1, "a", 4), b.clone()]);
        let all: Vec<Entry> = everything(&store).await.into_iter().map(|(_, entry)| entry).collect();
        assert_eq!((&all[..3], &all[3..]), (&expected[..3], &[liked(2, 1, "a", 4), undo.clone()][..]));
        assert_eq!(append(&store, &[liked(1, 5, "a", 4)]).await, [Outcome::Duplicate(Seq(1))], "its id stays taken");
        drop(store);
        store = place.open().unwrap();
    }
    // The first cancellation counts, as after a crash of the sender.
    assert!(append(&store, &[undone(1, 5, &[2, 3])]).await.iter().all(is_stored));
    let found = store.find_events(UserId(1), vec![key("b"), key("c")]).await.unwrap();
    assert!(found.contains(&cancelled(&b, 5)) && found.contains(&cancelled(&c, 4)), "{found:?}");
    assert_eq!(append(&store, &[undone(1, 6, &[])]).await.iter().filter(|one| is_stored(one)).count(), 1);
}

pub(super) async fn no_snapshot_includes_a_cancelled_entry(place: &impl Place) {
    let store = place.open().unwrap();
    append(&store, &[1, 2, 3, 4].map(|seq| liked(1, seq, &format!("e{seq}"), 4))).await;
    let save = |seq| store.save_snapshot(UserId(1), Snapshot { seq: Seq(seq), bytes: vec![seq as u8; 100] });
    let kept = async || store.snapshot(UserId(1)).await.unwrap().map(|snapshot| snapshot.seq.0);
    save(2).await.unwrap();
    append(&store, &[undone(1, 5, &[3])]).await;
    assert_eq!(kept().await, Some(2), "it ends before the cancelled entry");
    append(&store, &[undone(1, 6, &[2])]).await;
    assert_eq!(kept().await, None);
    for (seq, expected) in [(2, None), (5, None), (6, Some(6))] {
        save(seq).await.unwrap();
        assert_eq!(kept().await, expected, "a snapshot of {seq}, saved late");
    }
    let last = undone(1, 7, &[1]);
    // All in one call: the snapshot of before does not survive it.
    let (late, undo) = tokio::join!(save(6), append(&store, std::slice::from_ref(&last)));
    assert!(late.is_ok() && undo.iter().all(is_stored));
    assert_eq!(kept().await, None);
    append(&store, &[liked(2, 1, "a", 4)]).await;
    store.save_snapshot(UserId(2), Snapshot { seq: Seq(1), bytes: vec![1] }).await.unwrap();
    assert!(store.snapshot(UserId(2)).await.unwrap().is_some(), "that of somebody else stays");
}

pub(super) async fn what_stands_is_listed_by_item_newest_first(place: &impl Place) {
    let store = place.open().unwrap();
    let acts = [
        (1, 4, Kind::Like),
        (2, 5, Kind::Like),
        (3, 4, Kind::Hide),
        (4, 4, Kind::Like),
        (5, 6, Kind::Reject),
        (6, 7, Kind::Click),
        (7, 6, Kind::Hide),
        (8, 8, Kind::Like),
    ];
    append(&store, &acts.map(|(seq, item, kind)| of_kind(1, seq, &format!("e{seq}"), item, kind))).await;
    append(&store, &[of_kind(2, 1, "a", 4, Kind::Like), undone(1, 9, &[8])]).await;
    let listed = async |standing, before, limit| {
        let found = store.standing(UserId(1), standing, Seq(before), limit).await.unwrap();
        found.into_iter().map(|one| (one.seq.0, one.item.0, one.kind, one.at.0)).collect::<Vec<_>>()
    };
    let likes = [(4, 4, Kind::Like, 4_000), (2, 5, Kind::Like, 2_000)];
    assert_eq!(listed(Standing::Liked, u64::MAX, 9).await, likes);
    assert_eq!(listed(Standing::Liked, u64::MAX, 1).await, likes[..1]);
    assert_eq!(listed(Standing::Liked, 4, 9).await, likes[1..]);
    assert_eq!(listed(Standing::Liked, 2, 9).await, []);
    assert_eq!(listed(Standing::Hidden, u64::MAX, 9).await, [(7, 6, Kind::Hide, 7_000), (3, 4, Kind::Hide, 3_000)]);
    for (name, standing, item, limit, expected) in [
        ("likes", Standing::Liked, 4, 9, vec![4, 1]),
        ("one like", Standing::Liked, 4, 1, vec![4]),
        ("hides and rejects", Standing::Hidden, 6, 9, vec![7, 5]),
        ("a cancelled like", Standing::Liked, 8, 9, vec![]),
        ("a click", Standing::Liked, 7, 9, vec![]),
    ] {
        let found = store.standing_of_item(UserId(1), standing, ItemId(item), limit).await.unwrap();
        assert_eq!(found, expected.into_iter().map(Seq).collect::<Vec<_>>(), "{name}");
    }
}

pub(super) async fn a_cancelled_entry_can_be_copied_with_its_mark(place: &impl Place) {
    let store = place.open().unwrap();
    let (a, b) = (liked(1, 1, "a", 4), liked(1, 2, "b", 4));
    // A dump of a store at work may hold the entry from before its cancellation.
    let copied = [cancelled(&a, 3), b.clone(), undone(1, 3, &[1, 2])];
    assert!(append(&store, &copied).await.iter().all(is_stored));
    let expected = [cancelled(&a, 3), cancelled(&b, 3), undone(1, 3, &[1, 2])];
    assert_eq!(store.entries_until(UserId(1), Millis::MAX).await.unwrap(), expected);
}
