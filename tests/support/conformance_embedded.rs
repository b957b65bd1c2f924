//! Guarantees of the embedded store alone.

use super::*;

#[tokio::test]
async fn a_directory_is_open_once_at_a_time() {
    let place = Directory::new();
    let store = place.open().unwrap();
    let Err(StoreError::Locked(directory)) = place.open() else { panic!("opened twice") };
    assert!(directory.contains("🌊"), "it says which: {directory}");
    store.health().await.unwrap();
    drop(store);
    place.open().unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let place = Directory::new();
    drop(place.open().unwrap());
    place.sql("INSERT INTO refinery_schema_history VALUES (9999, 'later', '2030-01-01T00:00:00Z', '1')");
    let before = std::fs::read(place.path().join("eddyline.db")).unwrap();
    for _ in 0..2 {
        assert!(matches!(place.open(), Err(StoreError::Newer { found: 9999, known: 13 })));
    }
    assert_eq!(std::fs::read(place.path().join("eddyline.db")).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let place = Directory::new();
    std::fs::create_dir_all(place.path()).unwrap();
    let file = place.path().join("eddyline.db");
    std::fs::write(&file, "somebody's diary".repeat(100)).unwrap();
    assert!(matches!(place.open(), Err(StoreError::Corrupt { .. })));
    assert_eq!(std::fs::read(&file).unwrap(), "somebody's diary".repeat(100).as_bytes());
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let place = tempfile::NamedTempFile::new().unwrap();
    let Err(StoreError::Unavailable(text)) = Embedded::open(&place.path().join("below a file")) else { panic!() };
    assert!(text.contains("below a file"), "{text}");
}

#[tokio::test]
async fn a_row_edited_by_hand_is_reported_with_its_place() {
    let place = Directory::new();
    let store = place.open().unwrap();
    append(&store, &[liked(1, 1, "a", 4), liked(1, 2, "b", 4)]).await;
    place.sql("UPDATE journal SET topics = 'sea' WHERE seq = 2");
    let Err(StoreError::Corrupt { table: "journal", detail }) = store.recover(UserId(1)).await else { panic!() };
    assert_eq!(detail, "column `topics` of user_id 1, seq 2");
}

#[tokio::test]
async fn of_who_was_erased_no_byte_is_left_in_any_file() {
    let place = Directory::new();
    let store = place.open().unwrap();
    two_people(&store).await;
    // Enough that pages split, overflow and are merged again.
    let long = "ada was here, at length; ".repeat(200);
    for seq in 3..400_u64 {
        let mut entries = vec![liked(1, seq, &format!("ada-secret-{seq}"), 7), liked(2, seq, &format!("b-{seq}"), 7)];
        entries.push(liked(3, seq - 2, &format!("c-{seq}"), 7));
        append(&store, &entries).await;
        if seq % 50 == 0 {
            let bytes = long.clone().into_bytes();
            store.save_snapshot(UserId(1), Snapshot { seq: Seq(seq), bytes }).await.unwrap();
        }
    }
    let author = Some(Author { id: UserId(1), key: key("ada") });
    let post = Item { author, text: long.into(), ..item(8, "ada-8") };
    store.append(vec![Write::Item(post.into())]).await.unwrap();
    let found = |what: &str| {
        let files: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|file| file.unwrap().path()).collect();
        let holds = |bytes: Vec<u8>| bytes.windows(what.len()).any(|part| part == what.as_bytes());
        files.into_iter().filter(|file| holds(std::fs::read(file).unwrap())).count()
    };
    assert!(found("ada-secret") > 0 && found("ada was here") > 0);
    let mut erasure = ada_goes();
    erasure.items.push((ItemId(8), key("gone-8")));
    store.append(vec![Write::Erase(erasure)]).await.unwrap();
    for word in ["ada", "Ada"] {
        assert_eq!(found(word), 0, "{word}");
    }
    assert_eq!(everything(&store).await.len(), 2 + 397 * 2);
}

#[test]
fn it_needs_no_runtime() {
    let place = Directory::new();
    let store = place.open().unwrap();
    let asked = futures_util::future::join(store.health(), store.follows(UserId(1)));
    let (health, follows) = wait_for(asked);
    assert!(health.is_ok() && follows.unwrap().is_empty());
}
