//! Conformance cases of the catalogue: order, revisions, and the embeddings that learning names.

use super::*;

pub(super) async fn the_catalogue_comes_back_whole_and_in_order(place: &impl Place) {
    let store = place.open().unwrap();
    let window = |start, stop: Option<i64>| Window { start: Millis(start), stop: stop.map(Millis) };
    let windows = Windows::new(vec![window(-5, Some(1)), window(1, Some(100)), window(200, None)]).unwrap();
    let author = Some(Author { id: UserId(2), key: key("bea") });
    let centre = |topic, epoch, x: f32| (CentreRef { topic: TopicId(topic), epoch }, vector(&[x, 1e-7, -0.0]));
    let centres = [centre(0, 1, 0.1), centre(0, 2, 0.2), centre(3, 1, 0.3), centre(3, 10, 0.4)];
    let people = [
        Person { name: Some("Ada".into()), attributes: Some("{\"age\":36}".into()), ..person(1, "ada") },
        Person { created: Millis::MIN, ..person(2, "bea") },
    ];
    let items = [
        Item { windows, author, topics: vec![TopicId(3), TopicId(0), TopicId(7)].into(), ..item(1, "first") },
        Item { deleted: true, created: Millis::MAX, ..item(2, "deleted") },
        Item { topics: vec![].into(), text: "".into(), ..item(30, "no topics") },
        Item { windows: Windows::new(vec![window(0, Some(1))]).unwrap(), ..item(31, "one window") },
        Item { attributes: Some("{\"length\":12,\"café\":0.5}".into()), ..item(32, "attributes") },
    ];
    let mut batch: Vec<Write> = items.iter().rev().map(|item| Write::Item(item.clone().into())).collect();
    batch.extend(people.iter().rev().cloned().map(Write::Person));
    batch.extend(centres.iter().rev().cloned().map(|(name, vector)| Write::Centre(name, vector)));
    batch.extend([Write::Topic(TopicId(3), key("sea")), Write::Topic(TopicId(0), key("all"))]);
    assert!(store.append(batch.clone()).await.unwrap().iter().all(is_stored));

    let mut expected = vec![CatalogueRow::Topic(TopicId(0), key("all")), CatalogueRow::Topic(TopicId(3), key("sea"))];
    expected.extend(centres.into_iter().map(|(name, vector)| CatalogueRow::Centre(name, vector)));
    expected.extend(people.into_iter().map(CatalogueRow::Person));
    expected.extend(items.into_iter().map(CatalogueRow::Item));
    assert_eq!(catalogue(&store).await, expected);
    store.append(batch).await.unwrap();
    assert_eq!(catalogue(&store).await, expected, "writing the same again changes nothing");
}

pub(super) async fn the_last_declaration_of_a_metric_is_kept(place: &impl Place) {
    let store = place.open().unwrap();
    let prior = Prior { mean: -0.1, strength: 1e-9, shape: 1e12, rate: 0.375 };
    let (unit, attribute) = (Some("m/s ß".to_owned()), Some("speed".to_owned()));
    let types = vec!["Ω".to_owned(), "a b".into()];
    let full = Declaration { kind: MetricKind::Ratio, unit, range: Some((-1e12, 0.3)), prior, types, attribute };
    let declared = |name: &str, declaration: &Declaration| Write::Metric(key(name), Some(declaration.clone()));
    let first = Declaration::default();
    // Twice in one batch, and again in a later one.
    let batch = vec![declared("b", &full), declared("a", &full), declared("a", &first)];
    assert!(store.append(batch).await.unwrap().iter().all(is_stored));
    let rows =
        |a: &Declaration| vec![CatalogueRow::Metric(key("a"), a.clone()), CatalogueRow::Metric(key("b"), full.clone())];
    assert_eq!(catalogue(&store).await, rows(&first));
    store.append(vec![declared("a", &full)]).await.unwrap();
    assert_eq!(catalogue(&store).await, rows(&full), "the last one");
    // Deleted and declared in one batch, both ways; a metric without a declaration can be deleted, too.
    let gone = |name: &str| Write::Metric(key(name), None);
    let batch = vec![gone("a"), declared("a", &full), declared("c", &full), gone("c"), gone("d")];
    assert!(store.append(batch).await.unwrap().iter().all(is_stored));
    assert_eq!(catalogue(&store).await, rows(&full), "the last write of each");
    store.append(vec![gone("a")]).await.unwrap();
    assert_eq!(catalogue(&store).await, rows(&full)[1..], "deleted");
    store.append(vec![declared("a", &full)]).await.unwrap();
    drop(store);
    assert_eq!(catalogue(&place.open().unwrap()).await, rows(&full), "opened again");
}

pub(super) async fn a_new_revision_replaces_the_item_and_keeps_the_earlier_embedding(place: &impl Place) {
    let store = place.open().unwrap();
    let windows = Windows::new(vec![Window { start: Millis(0), stop: None }]).unwrap();
    let first = Item { windows, ..item(1, "x") };
    let second = Item { revision: 2, text: "new".into(), embedding: vector(&[9.0, 8.0, 7.0]), ..item(1, "x") };
    for revision in [&first, &second] {
        store.append(vec![Write::Item(revision.clone().into())]).await.unwrap();
    }
    assert_eq!(catalogue(&store).await, [CatalogueRow::Item(second.clone())]);
    for (revision, expected) in [(1, Some(first.embedding)), (2, Some(second.embedding)), (3, None)] {
        assert_eq!(store.embedding(ItemId(1), revision).await.unwrap(), expected, "revision {revision}");
    }
    assert_eq!(store.embedding(ItemId(2), 1).await.unwrap(), None, "no such item");
}

pub(super) async fn what_learning_names_never_changes(place: &impl Place) {
    let store = place.open().unwrap();
    let name = CentreRef { topic: TopicId(1), epoch: 1 };
    let good = vec![
        Write::Item(item(1, "x").into()),
        Write::Centre(name, vector(&[1.0])),
        Write::Topic(TopicId(1), key("sea")),
        Write::Person(person(1, "ada")),
    ];
    store.append(good).await.unwrap();
    let before = catalogue(&store).await;
    for (what, write) in [
        ("an embedding within its revision", Write::Item(Item { embedding: vector(&[0.5]), ..item(1, "x") }.into())),
        ("an item's key", Write::Item(item(1, "y").into())),
        ("a centre within its epoch", Write::Centre(name, vector(&[2.0]))),
        ("a topic's key", Write::Topic(TopicId(1), key("lake"))),
        ("a person's key", Write::Person(person(1, "bea"))),
        ("the owner of a person's key", Write::Person(person(2, "ada"))),
    ] {
        assert!(matches!(store.append(vec![write]).await, Err(StoreError::Refused(_))), "{what}");
        assert_eq!(catalogue(&store).await, before, "{what}");
    }
}
