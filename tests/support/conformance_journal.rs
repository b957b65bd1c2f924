//! Conformance cases of the journal: batches, duplicates, sequence numbers and texts.

use super::*;

pub(super) async fn a_batch_is_stored_in_order_and_read_back_as_it_was(place: &impl Place) {
    let store = place.open().unwrap();
    let list = [
        liked(1, 1, "a", 4),
        other(2, 1, What::Followed(UserId(1))),
        other(1, 2, What::Posted(ItemId(8))),
        other(2, 2, What::Unfollowed(UserId(1))),
        other(1, 3, What::TopicsSet(vec![(TopicId(0), 0.1), (TopicId(9), 1.0)])),
        other(1, 4, What::TopicsSet(vec![])),
        other(
            2,
            3,
            What::Measured(Measured {
                metric: key("time_spent"),
                kind: Some(key("post")),
                millionths: 100_000,
                replaces: false,
            }),
        ),
    ];
    let outcomes = append(&store, &list).await;
    let read = everything(&store).await;
    let expected: Vec<Outcome> = read.iter().map(|(position, _)| Outcome::Stored(*position)).collect();
    assert_eq!(outcomes, expected);
    assert!(read.is_sorted_by_key(|(position, _)| *position));
    assert_eq!(read.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>(), list);
    assert_eq!(append(&store, &[]).await, [], "an empty batch is nothing");
}

pub(super) async fn a_batch_is_stored_whole_or_not_at_all(place: &impl Place) {
    let store = place.open().unwrap();
    store.append(vec![Write::Item(item(1, "taken").into())]).await.unwrap();
    let batch = vec![
        Write::Entry(liked(1, 1, "a", 4)),
        Write::Person(person(1, "ada")),
        Write::Item(item(2, "taken").into()),
        Write::Entry(liked(1, 2, "b", 4)),
    ];
    assert!(matches!(store.append(batch).await, Err(StoreError::Refused(_))), "a key belongs to one item");
    assert_eq!(everything(&store).await, []);
    assert_eq!(catalogue(&store).await.len(), 1);
    assert!(append(&store, &[liked(1, 1, "a", 4)]).await.iter().all(is_stored), "the number is still free");
}

pub(super) async fn a_refused_batch_does_not_take_others_with_it(place: &impl Place) {
    let store = place.open().unwrap();
    store.append(vec![Write::Item(item(1, "taken").into())]).await.unwrap();
    let good = (0..32_u32).map(|user| store.append(entries(&[liked(user, 1, "a", 4), liked(user, 2, "b", 4)])));
    let bad = (0..32_u32).map(|user| {
        store.append(vec![Write::Entry(liked(100 + user, 1, "a", 4)), Write::Item(item(2 + user, "taken").into())])
    });
    let all: Vec<_> = good.zip(bad).flat_map(|(good, bad)| [good, bad]).collect();
    for (index, answer) in futures_util::future::join_all(all).await.into_iter().enumerate() {
        assert_eq!(answer.is_ok(), index % 2 == 0, "call {index}");
    }
    assert_eq!(everything(&store).await.len(), 64);
}

pub(super) async fn an_event_is_stored_once_however_often_it_is_sent(place: &impl Place) {
    let store = place.open().unwrap();
    append(&store, &[liked(1, 1, "a", 4), liked(1, 2, "b", 4)]).await;
    for (name, entry, expected) in [
        ("the very same", liked(1, 1, "a", 4), Outcome::Duplicate(Seq(1))),
        ("under the next number", liked(1, 3, "a", 4), Outcome::Duplicate(Seq(1))),
        ("with other content", liked(1, 3, "b", 77), Outcome::Duplicate(Seq(2))),
    ] {
        assert_eq!(append(&store, &[entry]).await, [expected], "{name}");
    }
    let twice = append(&store, &[liked(1, 3, "c", 4), liked(1, 4, "c", 4)]).await;
    assert!(is_stored(&twice[0]), "first in the same batch");
    assert_eq!(twice[1], Outcome::Duplicate(Seq(3)), "second in the same batch");
    assert!(is_stored(&append(&store, &[liked(2, 1, "a", 4)]).await[0]), "the id of somebody else is another event");
    assert_eq!(everything(&store).await.len(), 4);
    assert_eq!(store.find_event(UserId(1), key("b")).await.unwrap(), Some(Seq(2)));
    assert_eq!(store.find_event(UserId(1), key("z")).await.unwrap(), None);
    assert_eq!(store.find_event(UserId(3), key("b")).await.unwrap(), None);
}

pub(super) async fn after_a_duplicate_later_entries_of_that_person_are_refused_and_only_those(place: &impl Place) {
    let store = place.open().unwrap();
    append(&store, &[liked(1, 1, "a", 4), liked(2, 1, "a", 4)]).await;
    let outcomes = append(
        &store,
        &[liked(1, 2, "b", 4), liked(1, 3, "a", 4), liked(2, 2, "b", 4), liked(1, 4, "c", 4), liked(2, 3, "c", 4)],
    )
    .await;
    let stored: Vec<bool> = outcomes.iter().map(is_stored).collect();
    assert_eq!(stored, [true, false, true, false, true]);
    assert_eq!((outcomes[1], outcomes[3]), (Outcome::Duplicate(Seq(1)), Outcome::Refused));
    assert!(is_stored(&append(&store, &[liked(1, 3, "c", 4)]).await[0]), "learned again, it is the next one");
}

pub(super) async fn the_numbers_of_a_person_are_consecutive_from_one(place: &impl Place) {
    let store = place.open().unwrap();
    for (name, seq, good) in [
        ("zero", 0, false),
        ("two first", 2, false),
        ("one", 1, true),
        ("one again", 1, false),
        ("three", 3, false),
        ("two", 2, true),
    ] {
        let outcome = append(&store, &[liked(1, seq, name, 4)]).await[0];
        assert_eq!(is_stored(&outcome), good, "{name}");
        assert!(good || outcome == Outcome::Refused, "{name}");
    }
    let gap = append(&store, &[liked(1, 3, "c", 4), liked(1, 5, "e", 4), liked(1, 4, "d", 4)]).await;
    assert_eq!((is_stored(&gap[0]), gap[1], gap[2]), (true, Outcome::Refused, Outcome::Refused));
    drop(store);
    let store = place.open().unwrap();
    assert_eq!(append(&store, &[liked(1, 3, "x", 4)]).await, [Outcome::Refused], "known after a restart, too");
    assert!(is_stored(&append(&store, &[liked(1, 4, "d", 4)]).await[0]));
}

pub(super) async fn keys_and_texts_may_be_any_unicode(place: &impl Place) {
    let store = place.open().unwrap();
    let names =
        ["🌊", "e\u{301}", "é", "Ελλάδα", "日本語", "a'b\"c;--", "\u{202e}x", &"ß".repeat(127), "%_\\", "A", "a"];
    let mut batch = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let index = u32::try_from(index).unwrap();
        let text = format!("{name}\n\t{name}");
        batch.push(Write::Topic(TopicId(index + 1), key(name)));
        batch.push(Write::Person(Person { name: Some((*name).to_string()), ..person(index, name) }));
        batch.push(Write::Item(Item { text: text.into(), ..item(index, name) }.into()));
        let declaration = Declaration { types: vec![(*name).to_owned()], ..Declaration::default() };
        batch.push(Write::Metric(key(name), Some(declaration)));
        batch.push(Write::Entry(liked(1, u64::from(index) + 1, name, 4)));
    }
    assert!(store.append(batch.clone()).await.unwrap().iter().all(is_stored));
    let rows = catalogue(&store).await;
    assert_eq!(rows.len(), 4 * names.len());
    for write in &batch {
        let expected = match write.clone() {
            Write::Topic(id, key) => CatalogueRow::Topic(id, key),
            Write::Person(person) => CatalogueRow::Person(person),
            Write::Item(item) => CatalogueRow::Item((*item).clone()),
            Write::Entry(entry) => {
                assert_eq!(store.find_event(entry.user, entry.id.clone()).await.unwrap(), Some(entry.seq));
                continue;
            }
            Write::Metric(name, Some(declaration)) => CatalogueRow::Metric(name, declaration),
            Write::Metric(..) | Write::Centre(..) | Write::Since(..) | Write::Erase(_) | Write::Clustering(_) => {
                unreachable!()
            }
        };
        assert!(rows.contains(&expected), "{expected:?}");
    }
}
