//! `ETag` and `If-None-Match` on the real server: a client that holds the present state of an item or a user gets no body.

use crate::support;

use serde_json::json;

use support::server;

#[test]
fn an_unchanged_item_or_user_is_not_sent_again_and_a_changed_one_is() {
    let server = server();
    let rest = server.rest();
    for path in ["/v1/items/heron", "/v1/users/ada"] {
        let bodies = match path.contains("items") {
            true => {
                [json!({"text": "a heron", "topics": ["birds"]}), json!({"text": "two herons", "topics": ["birds"]})]
            }
            false => [json!({"name": "Ada"}), json!({"name": "Ada L."})],
        };
        rest.put(path, &bodies[0]).success("prepare");
        let first = rest.get(path);
        let tag = first.header("etag").map(str::to_owned).unwrap();
        assert!(tag.starts_with("W/\""), "{tag}");
        for (known, status) in [
            (tag.as_str(), 304),
            (tag.trim_start_matches("W/"), 304),
            ("*", 304),
            (&format!("\"other\", {tag}"), 304),
            ("\"other\"", 200),
            ("not a tag", 200),
            ("", 200),
        ] {
            let answer = rest.ask_with("GET", path, None, None, &[("If-None-Match", known)]);
            assert_eq!(answer.status, status, "{path} {known:?}");
            assert_eq!(answer.body.is_empty(), status == 304, "{path} {known:?}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()), "{path} {known:?}");
        }
        rest.put(path, &bodies[1]).success("change");
        let changed = rest.ask_with("GET", path, None, None, &[("If-None-Match", &tag)]);
        assert_eq!(changed.status, 200, "{path}");
        assert_ne!(changed.header("etag"), Some(tag.as_str()), "{path}");
    }
}
