//! Conformance cases of one user's entries: lookup by id, and reading page by page.

use super::*;

pub(super) async fn many_events_are_found_by_one_question(place: &impl Place) {
    let store = place.open().unwrap();
    // Names that would break a query with unescaped text.
    let name = |seq: u64| match seq {
        7 => "a'b\"c;--".to_owned(),
        8 => "back\\slash, [\"json\"]".to_owned(),
        9 => "🌊".to_owned(),
        _ => format!("e{seq}"),
    };
    let list: Vec<Entry> = (1..=3_000).map(|seq| liked(1, seq, &name(seq), 4)).collect();
    for part in list.chunks(1_000) {
        append(&store, part).await;
    }
    append(&store, &[liked(2, 1, "e1", 5)]).await;
    for (what, asked, expected) in [
        ("none asked for", vec![], vec![]),
        ("known and unknown ones", vec![name(3), "z".into(), name(1)], vec![1, 3]),
        ("the same twice", vec![name(2), name(2)], vec![2]),
        ("strange names", vec![name(7), name(8), name(9)], vec![7, 8, 9]),
        ("all of them", (1..=3_000).map(name).collect(), (1..=3_000).collect()),
    ] {
        let asked = asked.iter().map(|id| key(id)).collect();
        let mut found = store.find_events(UserId(1), asked).await.unwrap();
        found.sort_by_key(|entry| entry.seq);
        let expected: Vec<Entry> = expected.into_iter().map(|seq: u64| list[seq as usize - 1].clone()).collect();
        assert_eq!(found, expected, "{what}");
    }
    assert_eq!(store.find_events(UserId(2), vec![key("e1"), key("e2")]).await.unwrap(), [liked(2, 1, "e1", 5)]);
    assert_eq!(store.find_events(UserId(3), vec![key("e1")]).await.unwrap(), []);
}

pub(super) async fn a_persons_entries_come_page_by_page(place: &impl Place) {
    let store = place.open().unwrap();
    let list: Vec<Entry> = (1..=20).map(|seq| liked(1, seq, &format!("e{seq}"), 4)).collect();
    for entry in &list {
        append(&store, &[entry.clone(), liked(2, entry.seq.0, entry.id.as_str(), 4)]).await;
    }
    let (mut pages, mut after) = (Vec::new(), Seq(0));
    loop {
        let page = store.entries(UserId(1), after, Millis::MAX, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 7);
        after = last.seq;
        pages.extend(page);
    }
    assert_eq!(pages, list);
    for (name, user, after, until, limit, expected) in [
        ("up to an instant", 1, 0, 5_000, 99, 1..6),
        ("up to an instant, from within", 1, 3, 5_000, 99, 4..6),
        ("before anything", 1, 0, 999, 99, 0..0),
        ("after everything", 1, u64::MAX, i64::MAX, 99, 0..0),
        ("none asked for", 1, 0, i64::MAX, 0, 0..0),
        ("nobody", 3, 0, i64::MAX, 99, 0..0),
    ] {
        let found = store.entries(UserId(user), Seq(after), Millis(until), limit).await.unwrap();
        assert_eq!(found.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(store.snapshot(UserId(1)).await.unwrap(), None);
    let saved = Snapshot { seq: Seq(9), bytes: vec![1, 2, 3] };
    store.save_snapshot(UserId(1), saved.clone()).await.unwrap();
    assert_eq!(store.snapshot(UserId(1)).await.unwrap(), Some(saved));
    place.tear_snapshot(UserId(1));
    assert_eq!(store.snapshot(UserId(1)).await.unwrap(), None, "a torn one is none");
}
