//! Conformance cases of text search: both stores find equal items for each query.

use super::*;
use eddyline::domain::search::{TextQuery, TextSearch};

fn text_search(query: &str) -> Option<TextSearch> {
    let query = TextQuery::parse(query)?;
    Some(TextSearch { query, only: None, skip: 0, limit: 100 })
}

async fn hits(store: &Arc<dyn Store>, search: TextSearch) -> Vec<u32> {
    let found = store.search(search).await.unwrap();
    assert!(found.windows(2).all(|two| two[0].score >= two[1].score), "best first: {found:?}");
    found.into_iter().map(|hit| hit.item.0).collect()
}

/// Ids of the matches of a query, in order of id.
async fn matches(store: &Arc<dyn Store>, query: &str) -> Vec<u32> {
    let Some(search) = text_search(query) else { return Vec::new() };
    let mut found = hits(store, search).await;
    found.sort_unstable();
    found
}

pub(super) async fn a_query_finds_the_items_whose_texts_have_all_its_phrases(place: &impl Place) {
    let store = place.open().unwrap();
    let texts = [
        "A grey heron stands in the river",
        "The heron, grey and old: rivers of birds",
        "Ein Café in MÜNCHEN an der Straße",
        "rock-n-roll at 3 o'clock; C++ and 2nd place",
        "東京タワーへ行く",
        "Ο Σίσυφος και ο βράχος",
        "हिन्दी भाषा",
        "or not and near",
        "don't \\ 'quote' %_ \"x\" {a}:b ^c*",
        "",
    ];
    let write =
        |(id, text): (u32, &&str)| Write::Item(Item { text: (*text).into(), ..item(id, &format!("i{id}")) }.into());
    let batch: Vec<Write> = (1..).zip(texts.iter()).map(write).collect();
    assert!(store.append(batch).await.unwrap().iter().all(is_stored));
    for (query, expected) in [
        ("heron", vec![1, 2]),
        ("HERON river", vec![1, 2]),
        ("river heron", vec![1]),
        ("rivers her", vec![2]),
        ("rive", vec![1, 2]),
        ("rive heron", vec![]),
        ("\"grey heron\"", vec![1]),
        ("\"heron grey\"", vec![2]),
        ("\"grey her\"", vec![]),
        ("\"grey heron\" st", vec![1]),
        ("cafe munchen", vec![3]),
        ("CAFÉ strasse", vec![3]),
        ("\u{201e}cafe in\u{201c}", vec![3]),
        ("rock-n-roll", vec![4]),
        ("roll-n-rock", vec![]),
        ("c++", vec![4, 9]),
        ("2nd", vec![4]),
        ("東京", vec![5]),
        ("京東", vec![]),
        ("タワー", vec![5]),
        ("σισυφοσ", vec![6]),
        ("ΒΡΆΧΟΣ", vec![6]),
        ("हिन्दी", vec![7]),
        ("or", vec![8]),
        ("OR AND NOT", vec![8]),
        ("near/2", vec![]),
        ("don't", vec![9]),
        ("x' OR '1'='1", vec![]),
        ("words:heron", vec![]),
        ("- heron", vec![1, 2]),
        ("heron\"", vec![1, 2]),
        ("\\", vec![]),
        ("')|('", vec![]),
        ("🌊", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(matches(&store, query).await, expected, "{query}");
    }
    let long = "heron ".repeat(40);
    assert_eq!(matches(&store, &long).await, [1, 2], "a long query");
    drop(store);
    assert_eq!(matches(&place.open().unwrap(), "heron").await, [1, 2], "opened again");
}

pub(super) async fn a_revised_text_is_found_by_its_new_words_and_a_removed_one_never(place: &impl Place) {
    let store = place.open().unwrap();
    let first = Item { text: "a grey heron".into(), ..item(1, "x") };
    let other = Item { text: "a white heron".into(), ..item(2, "y") };
    store.append([&first, &other].map(|item| Write::Item(item.clone().into())).to_vec()).await.unwrap();
    let second = Item { revision: 2, text: "a white stork".into(), embedding: vector(&[9.0, 8.0, 7.0]), ..first };
    store.append(vec![Write::Item(second.clone().into())]).await.unwrap();
    for (query, expected) in [("grey", vec![]), ("heron", vec![2]), ("stork", vec![1]), ("white", vec![1, 2])] {
        assert_eq!(matches(&store, query).await, expected, "{query}");
    }
    store.append(vec![Write::Item(Item { deleted: true, ..second.clone() }.into())]).await.unwrap();
    assert_eq!(matches(&store, "white").await, [2]);
    store.append(vec![Write::Item(second.into())]).await.unwrap();
    assert_eq!(matches(&store, "white").await, [1, 2], "written again");
    store.append(vec![Write::Person(person(1, "ada"))]).await.unwrap();
    let items = vec![(ItemId(2), key("gone-2"))];
    let erasure = Erasure { user: UserId(1), key: key("gone"), at: Millis(1), items };
    store.append(vec![Write::Erase(erasure)]).await.unwrap();
    assert_eq!(matches(&store, "white").await, [1], "erased with its author");
}

pub(super) async fn matches_are_ranked_filtered_and_read_page_by_page(place: &impl Place) {
    let store = place.open().unwrap();
    let texts = [
        "heron heron heron",
        "one heron among many other birds of the wide river",
        "a heron heron here",
        "heron now",
        "heron now",
    ];
    let items = (1..).zip(texts).map(|(id, text)| Item { text: text.into(), ..item(id, &format!("i{id}")) });
    store.append(items.map(|item| Write::Item(item.into())).collect()).await.unwrap();
    let all = text_search("heron").unwrap();
    let ranked = hits(&store, all.clone()).await;
    assert_eq!((ranked[0], ranked.last()), (1, Some(&2)), "{ranked:?}");
    assert_eq!(hits(&store, text_search("heron now").unwrap()).await, [5, 4], "the newest first among equals");
    for (limit, skip) in [(2, 0), (2, 2), (2, 4), (1, 4), (3, 5)] {
        let page = hits(&store, TextSearch { limit, skip, ..all.clone() }).await;
        let expected: Vec<u32> = ranked.iter().copied().skip(skip as usize).take(limit as usize).collect();
        assert_eq!(page, expected, "{limit} after {skip}");
    }
    for only in [vec![], vec![3], vec![1, 4], vec![2, 5, 9], vec![1, 2, 3, 4, 5], vec![0, 8, 70_000]] {
        let search = TextSearch { only: Some(Arc::new(only.iter().copied().collect())), ..all.clone() };
        let expected: Vec<u32> = only.iter().copied().filter(|id| ranked.contains(id)).collect();
        let mut found = hits(&store, search).await;
        // Relevance depends on the lengths of all texts that are ranked, so the order may differ.
        found.sort_unstable();
        assert_eq!(found, expected, "{only:?}");
    }
}

pub(super) async fn of_too_many_matches_the_newest_are_ranked(place: &impl Place) {
    let store = place.open().unwrap();
    let text = |id: u32| if id == 0 { "heron heron" } else { "heron" };
    let write = |id: u32| Write::Item(Item { text: text(id).into(), ..item(id, &format!("i{id}")) }.into());
    store.append((0..=1_000).map(write).collect()).await.unwrap();
    let search = TextSearch { limit: 2_000, ..text_search("heron").unwrap() };
    let found = hits(&store, search).await;
    assert_eq!(found, (1..=1_000).rev().collect::<Vec<u32>>());
    // Few items that lie far behind the newest matches are found, too, by any phrase.
    for query in ["heron", "her", "\"heron heron\"", "heron stork"] {
        let search =
            TextSearch { only: Some(Arc::new([0, 7, 9].into_iter().collect())), ..text_search(query).unwrap() };
        let expected: &[u32] = match query {
            "heron" | "her" => &[0, 7, 9],
            "heron stork" => &[],
            _ => &[0],
        };
        let mut found = hits(&store, search).await;
        found.sort_unstable();
        assert_eq!(found, expected, "{query}");
    }
}

pub(super) async fn a_store_without_a_text_index_gets_one_when_it_opens(place: &impl Place) {
    let store = place.open().unwrap();
    let write =
        |id: u32| Write::Item(Item { text: format!("heron {id}").into(), ..item(id, &format!("i{id}")) }.into());
    let gone = Item { text: "heron".into(), deleted: true, ..item(9_000, "gone") };
    store.append((0..6_000).map(write).chain([Write::Item(gone.into())]).collect()).await.unwrap();
    drop(store);
    place.delete_text_index();
    let store = place.open().unwrap();
    assert_eq!(matches(&store, "heron 5999").await, [5_999]);
    let begins = |id: &u32| id.to_string().starts_with("171");
    assert_eq!(matches(&store, "heron 171").await, (0..6_000).filter(begins).collect::<Vec<u32>>());
    assert_eq!(matches(&store, "heron").await, (5_900..6_000).collect::<Vec<u32>>(), "a deleted item has no words");
}
