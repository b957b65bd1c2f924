//! Conformance cases of keys, tokens and texts.

use super::*;
use eddyline::store::access::{Holder, KEPT_AFTER_EXPIRY_MS, RETIRED_KEPT, SigningKey, TokenRecord};
use secrecy::ExposeSecret as _;

/// A signing key with this id, creation time and secret.
fn signing_key(kid: &str, created: i64, secret: &[u8]) -> SigningKey {
    SigningKey { kid: key(kid), secret: Some(secret.to_vec().into()), created: Millis(created), retired: None }
}

fn token(jti: &str, holder: Holder, expires: i64) -> TokenRecord {
    let kid = (holder != Holder::Elsewhere).then(|| key("k1"));
    TokenRecord { jti: key(jti), kid, holder, created: Millis(1_000), expires: Millis(expires), revoked: None }
}

/// Id, secret, creation and retirement of all keys.
async fn keys(store: &Arc<dyn Store>) -> Vec<(String, Option<Vec<u8>>, i64, Option<i64>)> {
    let row = |found: SigningKey| {
        let secret = found.secret.map(|secret| secret.expose_secret().to_vec());
        (found.kid.to_string(), secret, found.created.0, found.retired.map(|at| at.0))
    };
    store.keys().await.unwrap().into_iter().map(row).collect()
}

pub(super) async fn a_key_is_kept_once_and_its_secret_goes_when_it_is_retired(place: &impl Place) {
    let store = place.open().unwrap();
    assert_eq!(keys(&store).await, []);
    let secret = [0_u8, 255, 7].repeat(12);
    assert!(store.insert_key(signing_key("k2", 20, &secret)).await.unwrap());
    assert!(store.insert_key(signing_key("k1", 20, &secret)).await.unwrap());
    assert!(store.insert_key(signing_key("z", 10, &secret)).await.unwrap());
    assert!(!store.insert_key(signing_key("k1", 99, b"other")).await.unwrap(), "an id is given once");
    let with = |kid: &str, created| (kid.to_owned(), Some(secret.clone()), created, None);
    assert_eq!(keys(&store).await, [with("z", 10), with("k1", 20), with("k2", 20)]);
    assert!(store.retire_key(key("k1"), Millis(30)).await.unwrap());
    assert!(!store.retire_key(key("k1"), Millis(40)).await.unwrap(), "once");
    assert!(!store.retire_key(key("nothing"), Millis(40)).await.unwrap());
    assert_eq!(keys(&store).await, [with("z", 10), ("k1".into(), None, 20, Some(30)), with("k2", 20)]);
    assert!(!store.insert_key(signing_key("k1", 50, &secret)).await.unwrap(), "an id never comes back");
}

pub(super) async fn tokens_are_listed_page_by_page_until_they_expire(place: &impl Place) {
    let store = place.open().unwrap();
    let list = [
        token("t1", Holder::Person(key("ada 🌊")), 5_000),
        token("t2", Holder::Service, 6_000),
        token("t3", Holder::Elsewhere, 7_000),
    ];
    for record in &list {
        assert!(store.insert_token(record.clone()).await.unwrap());
    }
    assert!(!store.insert_token(token("t1", Holder::Service, 9_000)).await.unwrap(), "an id is given once");
    for (live_at, after, limit, expected) in [
        (0, "", 10, &list[..]),
        (0, "", 2, &list[..2]),
        (0, "t2", 2, &list[2..]),
        (0, "t3", 2, &list[..0]),
        (4_999, "", 10, &list[..]),
        (5_000, "", 10, &list[1..]),
        (9_999, "", 10, &list[..0]),
    ] {
        let found = store.tokens(Millis(live_at), after.into(), limit).await.unwrap();
        assert_eq!(found, expected, "{live_at} {after:?} {limit}");
    }
    let late = TokenRecord { created: Millis(6_000 + KEPT_AFTER_EXPIRY_MS), ..token("t4", Holder::Service, i64::MAX) };
    assert!(store.insert_token(late).await.unwrap());
    let found = store.tokens(Millis(0), String::new(), 10).await.unwrap();
    let found: Vec<_> = found.iter().map(|record| record.jti.as_str()).collect();
    assert_eq!(found, ["t3", "t4"], "what expired long ago is forgotten");
}

pub(super) async fn a_revocation_is_kept_with_its_first_instant_until_the_token_expires(place: &impl Place) {
    let store = place.open().unwrap();
    for (jti, expires) in [("t1", 5_000), ("t2", 6_000), ("t3", 7_000)] {
        store.insert_token(token(jti, Holder::Service, expires)).await.unwrap();
    }
    let known = TokenRecord { revoked: Some(Millis(1_500)), ..token("t4", Holder::Elsewhere, 8_000) };
    assert!(store.insert_token(known.clone()).await.unwrap());
    assert!(store.revoke_token(key("t1"), Millis(2_000)).await.unwrap());
    assert!(store.revoke_token(key("t2"), Millis(2_000)).await.unwrap());
    assert!(store.revoke_token(key("t2"), Millis(3_000)).await.unwrap(), "again is harmless");
    assert!(!store.revoke_token(key("nothing"), Millis(2_000)).await.unwrap());
    for (live_at, expected) in [(0, &["t1", "t2", "t4"][..]), (5_000, &["t2", "t4"]), (8_000, &[])] {
        let mut found = store.revoked_tokens(Millis(live_at)).await.unwrap();
        found.sort();
        assert_eq!(found.iter().map(Key::as_str).collect::<Vec<_>>(), expected, "{live_at}");
    }
    let revoked = TokenRecord { revoked: Some(Millis(2_000)), ..token("t2", Holder::Service, 6_000) };
    assert_eq!(store.tokens(Millis(0), "t1".into(), 1).await.unwrap(), [revoked]);
    assert_eq!(store.tokens(Millis(0), "t3".into(), 1).await.unwrap(), [known]);
}

pub(super) async fn tokens_and_keys_survive_reopening(place: &impl Place) {
    let store = place.open().unwrap();
    store.insert_key(signing_key("k1", 20, b"secret")).await.unwrap();
    store.insert_token(token("t1", Holder::Service, 5_000)).await.unwrap();
    store.revoke_token(key("t1"), Millis(2_000)).await.unwrap();
    drop(store);
    let store = place.open().unwrap();
    assert_eq!(keys(&store).await, [("k1".to_owned(), Some(b"secret".to_vec()), 20, None)]);
    assert_eq!(store.revoked_tokens(Millis(0)).await.unwrap(), [key("t1")]);
    assert!(!format!("{:?}", store.keys().await.unwrap()).contains("secret\""), "a secret shows itself nowhere");
}

pub(super) async fn of_retired_keys_only_the_last_ones_stay(place: &impl Place) {
    let store = place.open().unwrap();
    let most = i64::from(RETIRED_KEPT);
    for number in 0..most + 3 {
        let kid = format!("k{number:03}");
        assert!(store.insert_key(signing_key(&kid, number, b"secret")).await.unwrap());
        assert!(store.retire_key(key(&kid), Millis(number)).await.unwrap());
    }
    assert!(store.insert_key(signing_key("last", most + 9, b"secret")).await.unwrap());
    let kept: Vec<String> = keys(&store).await.into_iter().map(|(kid, ..)| kid).collect();
    let expected: Vec<String> = (3..most + 3).map(|number| format!("k{number:03}")).chain(["last".into()]).collect();
    assert_eq!(kept, expected, "in use: all; retired: the last {most}");
}

/// A text that one kind of store could not restore from a dump is rejected by all kinds.
pub(super) async fn a_text_with_nul_is_refused_and_nothing_of_its_batch_is_stored(place: &impl Place) {
    let store = place.open().unwrap();
    let with = |name: Option<&str>, attributes: Option<&str>| {
        let (name, attributes) = (name.map(str::to_owned), attributes.map(str::to_owned));
        Write::Person(Person { name, attributes, ..person(0, "ada") })
    };
    for (what, write) in [
        ("a text", Write::Item(Item { text: "hel\0lo".into(), ..item(0, "i") }.into())),
        ("a name", with(Some("a\0"), None)),
        ("attributes", with(None, Some(r#"{"a": {"b": ["\u0000"]}}"#))),
    ] {
        let batch = vec![Write::Topic(TopicId(1), key("sea")), write];
        assert!(matches!(store.append(batch).await, Err(StoreError::Refused(_))), "{what}");
        assert_eq!(catalogue(&store).await, [], "{what}");
    }
    let kept = with(Some("a\\0"), Some(r#"{"a": "\\u0000"}"#));
    store.append(vec![kept.clone()]).await.unwrap();
    let Write::Person(kept) = kept else { unreachable!("it was made above") };
    assert_eq!(catalogue(&store).await, [CatalogueRow::Person(kept)], "a backslash is a character like others");
}
