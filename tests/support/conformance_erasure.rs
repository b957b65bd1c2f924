//! Conformance cases of erasure: nothing of an erased user remains but a nameless row.

use super::*;

/// Ada (1) and Bea (2) follow each other; Ada made an item in two revisions, and Bea acted on both.
pub(super) async fn two_people(store: &Arc<dyn Store>) {
    let author = Some(Author { id: UserId(1), key: key("ada") });
    let windows = Windows::new(vec![Window { start: Millis(1), stop: None }]).unwrap();
    let post = Item {
        author,
        text: "ada was here".into(),
        attributes: Some("{\"mood\":\"ada\"}".into()),
        windows,
        ..item(7, "post-of-ada")
    };
    let outcomes = store
        .append(vec![
            Write::Person(Person { name: Some("Ada".into()), attributes: Some("{}".into()), ..person(1, "ada") }),
            Write::Person(person(2, "bea")),
            Write::Item(post.clone().into()),
            Write::Item(Item { revision: 2, embedding: vector(&[4.0, 5.0, 6.0]), ..post }.into()),
            Write::Since(Change::Revision(ItemId(7), 2), Millis(9)),
            Write::Entry(liked(1, 1, "ada-secret", 7)),
            Write::Entry(liked(2, 1, "b", 7)),
            Write::Entry(other(1, 2, What::Followed(UserId(2)))),
            Write::Entry(other(2, 2, What::Followed(UserId(1)))),
        ])
        .await;
    assert!(outcomes.unwrap().iter().all(is_stored));
    let positions: Vec<Position> = everything(store).await.into_iter().map(|(position, _)| position).collect();
    store.save_snapshot(UserId(1), Snapshot { seq: Seq(2), bytes: vec![1] }).await.unwrap();
    store.save_snapshot(UserId(2), Snapshot { seq: Seq(2), bytes: vec![2] }).await.unwrap();
    store.save_coordinator_snapshot(positions[3], vec![3]).await.unwrap();
}

pub(super) fn ada_goes() -> Erasure {
    Erasure { user: UserId(1), key: key("gone-1"), at: Millis(9), items: vec![(ItemId(7), key("gone-7"))] }
}

pub(super) async fn since_when_what_is_so_comes_back_with_the_catalogue(place: &impl Place) {
    let store = place.open().unwrap();
    let centre = |epoch| Change::Centre(CentreRef { topic: TopicId(0), epoch });
    let mut expected = vec![
        (centre(1), Millis(3)),
        (centre(2), Millis::MIN),
        (Change::Deleted(ItemId(4)), Millis::MAX),
        (Change::Revision(ItemId(4), 2), Millis(7)),
        (Change::Revision(ItemId(4), u32::MAX), Millis(8)),
    ];
    store.append(vec![Write::Since(expected[2].0, Millis(1))]).await.unwrap();
    store.append(expected.iter().rev().map(|(change, since)| Write::Since(*change, *since)).collect()).await.unwrap();
    let found = catalogue(&store).await.into_iter().map(|row| match row {
        CatalogueRow::Since(change, since) => (change, since),
        other => panic!("{other:?}"),
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "the newer instant counts");
}

pub(super) async fn both_ends_of_the_graph_are_known(place: &impl Place) {
    let store = place.open().unwrap();
    let follow = |user, whom| Write::Entry(other(user, 1, What::Followed(UserId(whom))));
    store.append(vec![follow(9, 1), follow(3, 1), follow(1, 3)]).await.unwrap();
    assert_eq!(store.followers(UserId(1)).await.unwrap(), [UserId(3), UserId(9)], "by id");
    append(&store, &[other(3, 2, What::Unfollowed(UserId(1)))]).await;
    assert_eq!(store.followers(UserId(1)).await.unwrap(), [UserId(9)]);
    assert_eq!(store.followers(UserId(9)).await.unwrap(), []);
}

pub(super) async fn of_who_was_erased_nothing_is_left_but_a_nameless_row(place: &impl Place) {
    let mut store = place.open().unwrap();
    two_people(&store).await;
    let before = everything(&store).await;
    store.append(vec![Write::Erase(ada_goes())]).await.unwrap();
    for _ in ["at once", "opened again"] {
        let left: Vec<_> = before.iter().filter(|(_, entry)| entry.user == UserId(2)).cloned().collect();
        assert_eq!(everything(&store).await, left, "others keep theirs, at their places");
        assert_eq!(store.recover(UserId(1)).await.unwrap(), Recovered::default());
        assert!(store.recover(UserId(2)).await.unwrap().snapshot.is_some());
        assert_eq!(store.entries_until(UserId(1), Millis::MAX).await.unwrap(), []);
        assert_eq!(newest(&store, Slice::User(UserId(1)), None, 9).await, []);
        assert_eq!(newest(&store, Slice::Item(ItemId(7)), None, 9).await.len(), 1);
        assert_eq!(store.find_event(UserId(1), key("ada-secret")).await.unwrap(), None);
        for user in [UserId(1), UserId(2)] {
            assert_eq!(store.follows(user).await.unwrap(), []);
            assert_eq!(store.followers(user).await.unwrap(), []);
        }
        assert_eq!(store.coordinator_snapshot().await.unwrap(), None, "it counted them");
        let tombstone = Person { created: Millis(9), erased: true, ..person(1, "gone-1") };
        let buried = Item {
            revision: 2,
            topics: vec![].into(),
            text: "".into(),
            embedding: vector(&[4.0, 5.0, 6.0]),
            deleted: true,
            ..item(7, "gone-7")
        };
        let expected =
            [CatalogueRow::Person(tombstone), CatalogueRow::Person(person(2, "bea")), CatalogueRow::Item(buried)];
        assert_eq!(catalogue(&store).await, expected);
        let earlier = store.embedding(ItemId(7), 1).await.unwrap();
        assert_eq!(earlier, Some(vector(&[1.0, 2.0, 3.0])), "what others learned from stays");
        drop(store);
        store = place.open().unwrap();
    }
}

pub(super) async fn who_was_erased_stays_erased_whatever_was_under_way(place: &impl Place) {
    let store = place.open().unwrap();
    two_people(&store).await;
    store.append(vec![Write::Erase(ada_goes())]).await.unwrap();
    for (name, late) in [("their next entry", liked(1, 3, "late", 7)), ("their first one", liked(1, 1, "later", 7))] {
        assert_eq!(append(&store, &[late]).await, [Outcome::Refused], "{name}");
    }
    assert!(store.save_snapshot(UserId(1), Snapshot { seq: Seq(2), bytes: vec![1] }).await.is_err());
    let late = Write::Person(person(1, "ada"));
    assert!(matches!(store.append(vec![late]).await, Err(StoreError::Refused(_))), "their row has another key");
    assert!(append(&store, &[other(2, 3, What::Followed(UserId(1)))]).await.iter().all(is_stored));
    assert_eq!(store.follows(UserId(2)).await.unwrap(), [], "nobody is there to be followed");
    assert_eq!(store.recover(UserId(1)).await.unwrap(), Recovered::default());
    let nobody = Erasure { user: UserId(77), ..ada_goes() };
    assert!(matches!(store.append(vec![Write::Erase(nobody)]).await, Err(StoreError::Refused(_))));
}

pub(super) async fn a_key_is_free_as_soon_as_its_person_was_erased(place: &impl Place) {
    let store = place.open().unwrap();
    two_people(&store).await;
    let batch = vec![
        Write::Erase(ada_goes()),
        Write::Person(person(3, "ada")),
        Write::Item(item(8, "post-of-ada").into()),
        Write::Entry(liked(3, 1, "ada-secret", 8)),
        Write::Entry(liked(1, 3, "late", 7)),
        Write::Entry(liked(2, 3, "c", 8)),
    ];
    let outcomes = store.append(batch).await.unwrap();
    let refused: Vec<usize> = (0..6_usize).filter(|index| outcomes[*index] == Outcome::Refused).collect();
    assert_eq!(refused, [4], "{outcomes:?}");
    assert_eq!(store.recover(UserId(3)).await.unwrap().tail, [liked(3, 1, "ada-secret", 8)]);
}

pub(super) async fn an_erasure_that_fails_erases_nothing(place: &impl Place) {
    let store = place.open().unwrap();
    two_people(&store).await;
    let (rows, before) = (catalogue(&store).await, everything(&store).await);
    let bad = Write::Item(item(8, "post-of-ada").into());
    assert!(store.append(vec![bad.clone(), Write::Erase(ada_goes())]).await.is_err());
    assert!(
        store.append(vec![Write::Erase(ada_goes()), bad.clone(), bad, Write::Person(person(9, "bea"))]).await.is_err()
    );
    assert_eq!((catalogue(&store).await, everything(&store).await), (rows, before));
    assert!(append(&store, &[liked(1, 3, "next", 7)]).await.iter().all(is_stored), "they go on");
}
