//! A user's rights on the real server: to export all data about them, and to be erased.
//!
//! Invariant: data are proved to exist before they are proved to be gone.

use crate::support;

use std::time::{Duration, Instant};

use eddyline::domain::interactions::Kind;
use eddyline::protocol::server::ServerMessage;
use serde_json::{Value, json};

use support::socket::{Client, End};
use support::{PATIENCE, Server};

const NAME: &str = "Ada-Quellwasser";
const POST: &str = "herons-stand-in-the-shallows-at-dawn";
const ITEM: &str = "item-named-by-ada-quelle";
const EVENT: &str = "event-of-ada-quelle";

/// `ada-quelle` posted, liked, follows `bea`, who follows her and liked her post.
async fn scene(server: &Server) -> (Client, Client) {
    server.items(6);
    let rest = server.rest();
    rest.put("/v1/users/ada-quelle", &json!({"name": NAME, "attributes": {"city": "Quellstadt"}})).success("ada");
    rest.put("/v1/users/bea", &json!({})).success("bea");
    rest.put(&format!("/v1/items/{ITEM}"), &json!({"text": POST, "topics": ["birds"], "author": "ada-quelle"}))
        .success("an item of hers");
    let mut ada = Client::hello(server.address(), "ada-quelle").await;
    let mut bea = Client::hello(server.address(), "bea").await;
    ada.post("ada-posts", &format!("{POST}, again"), Some("birds")).await;
    ada.wait_accepted("ada-posts").await;
    ada.interact_as(EVENT, "item-0", Kind::Like).await;
    ada.interact_as("ada-hides", "item-1", Kind::Hide).await;
    ada.follow("ada-follows", "bea").await;
    bea.follow("bea-follows", "ada-quelle").await;
    bea.interact_as("bea-likes", ITEM, Kind::Like).await;
    for id in [EVENT, "ada-hides", "ada-follows"] {
        ada.wait_accepted(id).await;
    }
    for id in ["bea-follows", "bea-likes"] {
        bea.wait_accepted(id).await;
    }
    (ada, bea)
}

/// Number of files in the server's data that contain this text.
fn found(directory: &std::path::Path, what: &str) -> usize {
    let files = std::fs::read_dir(support::data(directory)).unwrap().map(|file| file.unwrap().path());
    let holds = |bytes: Vec<u8>| bytes.windows(what.len()).any(|part| part == what.as_bytes());
    files.filter(|file| std::fs::read(file).is_ok_and(holds)).count()
}

fn rows<'a>(body: &'a Value, name: &str) -> &'a Vec<Value> {
    body[name].as_array().unwrap_or_else(|| panic!("no list {name}: {body}"))
}

#[test]
fn an_export_says_all_that_is_known() {
    let server = support::server();
    support::block_on(async {
        let _open = scene(&server).await;
        let body = server.rest().get("/v1/users/ada-quelle/export").success("the export").json();
        assert_eq!(body["profile"]["name"], NAME);
        assert_eq!(body["profile"]["attributes"], json!({"city": "Quellstadt"}));
        assert_eq!((&body["follows"], &body["followers"]), (&json!(["bea"]), &json!(["bea"])));
        let kinds: Vec<&str> = rows(&body, "journal").iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["posted", "like", "hide", "followed"]);
        let like = &rows(&body, "journal")[1];
        assert_eq!((&like["id"], &like["item"], &like["seq"]), (&json!(EVENT), &json!("item-0"), &json!(2)));
        assert_eq!(like["learned"], json!({"positive": true, "weight": 1.0}));
        assert!(like["features"]["freshness"].is_number() && like["predicted"]["online"].is_number(), "{like}");
        assert_eq!(body["model"]["events"], 4);
        assert_eq!(body["model"]["hidden"], json!(["item-1"]));
        assert_eq!(rows(&body["model"], "mean").len(), support::DIM);
        assert_eq!(rows(&body["model"], "precision").len(), support::DIM);
        assert!(rows(&body["model"], "pairs").is_empty(), "two items make no topic with axes: {body}");
        let model = server.rest().get("/v1/users/ada-quelle/model").success("the model").json();
        for figure in ["topics", "weight_norm", "uncertainty", "labelled", "auc"] {
            assert!(support::alike(&body["model"][figure], &model[figure]), "{figure}: {body}");
        }
        let texts: Vec<&str> = rows(&body, "items").iter().map(|item| item["text"].as_str().unwrap()).collect();
        assert_eq!(texts, [POST, &format!("{POST}, again")]);
        assert_eq!(server.rest().get("/v1/users/nobody/export").status, 404);
        assert_eq!(server.rest().get("/v1/users/ada-quelle/export?all=1").status, 400);
        let empty = server.rest().put("/v1/users/new", &json!({})).success("somebody new");
        assert_eq!(empty.status, 201);
        let body = server.rest().get("/v1/users/new/export").success("the export of nothing").json();
        assert_eq!(body["journal"], json!([]));
    });
}

#[test]
fn a_long_past_is_exported_whole() {
    let server = support::server();
    server.items(2);
    server.people(&["ada"]);
    let many: Vec<Value> =
        (0..1_000).map(|n| json!({"user": "ada", "id": format!("e{n}"), "item": "item-1", "kind": "view"})).collect();
    server.rest().post("/v1/interactions", &json!(many)).success("a thousand");
    let body = server.rest().get("/v1/users/ada/export").success("the export").json();
    let numbers: Vec<u64> = rows(&body, "journal").iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=1_000).collect::<Vec<u64>>());
}

/// An export with a slow reader delays no other request, and ends incomplete when the user is erased.
#[test]
fn an_export_under_way_ends_with_the_erasure() {
    use std::io::{Read as _, Write as _};
    let server = support::server();
    server.items(20);
    server.people(&["ada", "bea"]);
    let click =
        |n: usize| json!({"user": "ada", "id": format!("e{n}"), "item": format!("item-{}", n % 20), "kind": "click"});
    for part in (0..8_000).map(click).collect::<Vec<_>>().chunks(1_000) {
        server.rest().post("/v1/interactions", &json!(part)).success("a long past");
    }
    let path = "/v1/users/ada/export";
    let ask = || {
        let mut line = std::net::TcpStream::connect(server.address()).unwrap();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        line.write_all(request.as_bytes()).unwrap();
        line
    };
    let mut whole = Vec::new();
    ask().read_to_end(&mut whole).unwrap();
    assert!(whole.ends_with(b"0\r\n\r\n"), "a whole document has an end");
    let (whole, mut line) = (whole.len(), ask());
    let mut first = [0; 4_096];
    line.read_exact(&mut first).unwrap();
    assert!(first.starts_with(b"HTTP/1.1 200"));
    let second = server.rest().get(path);
    assert_eq!((second.status, second.code().as_deref()), (429, Some("rate_limited")), "one at a time");
    assert_eq!(server.rest().get("/v1/users/bea/export").status, 200, "somebody else's is another matter");
    assert_eq!(server.rest().delete("/v1/users/ada").status, 204);
    let mut rest = Vec::new();
    // However it ends: bytes in flight may come, but the end of the document does not.
    let _ = line.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "nobody takes a part for the whole");
    assert!(first.len() + rest.len() < whole, "{} of {whole} bytes came", first.len() + rest.len());
    assert_eq!(server.rest().get(path).status, 404);
}

#[test]
fn who_is_erased_is_gone_at_once_and_after_a_crash() {
    let server = support::server();
    let server = support::block_on(async {
        let (mut ada, mut bea) = scene(&server).await;
        let mut second = Client::hello(server.address(), "ada-quelle").await;
        bea.wait("her post in the feed", |bea| bea.shows(ITEM)).await;
        let rest = server.rest();
        let before = rest.get("/v1/score").success("score").json();
        assert_eq!(before["labelled"], 3);

        let answer = rest.delete("/v1/users/ada-quelle").success("the erasure");
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        for client in [&mut ada, &mut second] {
            let said_bye = |client: &Client| {
                client.heard.iter().any(|said| matches!(said, ServerMessage::Bye(bye) if bye.reason == "erased"))
            };
            client.wait("bye", said_bye).await;
            assert_eq!(client.end_of_line().await, End::Code(1008));
        }
        bea.wait("her posts to go", |bea| !bea.list().items().iter().any(|item| item.text.contains(POST))).await;
        for path in
            ["/user/ada-quelle", "/user/ada-quelle/feed", "/v1/users/ada-quelle/export", "/v1/users/ada-quelle/model"]
        {
            assert_eq!(rest.get(path).status, 404, "{path}");
        }
        assert_eq!(rest.delete("/v1/users/ada-quelle").code().as_deref(), Some("unknown_user"), "once more");
        assert_eq!(rest.get(&format!("/post/{ITEM}")).status, 404);
        let body = rest.get("/v1/users/bea/export").success("bea's export").json();
        assert_eq!((&body["follows"], &body["followers"]), (&json!([]), &json!([])));
        assert_eq!(rows(&body, "journal")[0]["user"], Value::Null, "somebody, nobody knows whom");
        let people = rest.get("/v1/users").success("the list of people");
        assert!(!people.body.contains("erased") && !people.body.contains("ada-quelle"), "{}", people.body);
        // Recomputed in the background.
        let begin = Instant::now();
        while rest.get("/v1/score").success("score").json()["labelled"] != 1 {
            assert!(begin.elapsed() < PATIENCE, "her answers are counted still");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    });
    let directory = server.kill();
    let server = Server::start(directory);
    let rest = server.rest();
    assert_eq!(rest.get("/user/ada-quelle").status, 404);
    assert_eq!(rest.get("/v1/score").success("score").json()["labelled"], 1);
    assert_eq!(rest.history("bea").len(), 1, "others keep theirs");
    let model = rest.get("/v1/users/bea/model").success("bea's model").json();
    assert_eq!((&model["events"], &model["follows"]), (&json!(2), &json!([])));

    // The key, used again, is a new user.
    assert_eq!(rest.put("/v1/users/ada-quelle", &json!({})).status, 201);
    assert_eq!(rest.history("ada-quelle"), [] as [Value; 0]);
    let body = rest.get("/v1/users/ada-quelle/export").success("the export").json();
    assert_eq!((&body["journal"], &body["items"], &body["followers"]), (&json!([]), &json!([]), &json!([])));
    assert_eq!(body["profile"]["name"], Value::Null);
    let directory = server.kill();
    let (status, said) = support::run(&["db", "check", "--store", &support::store(directory.path())]);
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn no_byte_of_who_was_erased_is_left_right_after_the_answer() {
    let server = support::server();
    support::block_on(async {
        let (_ada, _bea) = scene(&server).await;
        server.rest().delete("/v1/users/ada-quelle").success("the erasure");
    });
    let directory = server.kill();
    for word in [NAME, "Quellstadt", "ada-quelle", POST, ITEM, EVENT, "ada-hides"] {
        assert_eq!(found(directory.path(), word), 0, "{word}");
    }
    assert!(found(directory.path(), "bea-likes") > 0, "others are there");
    let server = Server::start(directory);
    assert_eq!(server.rest().get("/user/ada-quelle").status, 404);
    assert_eq!(server.rest().get(&format!("/post/{ITEM}")).status, 404);
}

/// The user's sockets send events continuously; those that arrive after the erasure are dropped.
#[test]
fn a_message_that_races_with_the_erasure_brings_nobody_back() {
    let server = support::server();
    server.items(4);
    let directory = support::block_on(async {
        for round in 0..8 {
            let name = format!("racer-{round}");
            server.people(&[&name]);
            let mut acting = Vec::new();
            for socket in 0..3 {
                let mut client = Client::hello(server.address(), &name).await;
                acting.push(tokio::spawn(async move {
                    let mut sent = 0;
                    while client.try_interact_as(&format!("s{socket}-{sent}"), "item-1", Kind::Like).await
                        && sent < 4_000
                    {
                        sent += 1;
                        if sent % 16 == 0 && client.next_message(Duration::from_millis(1)).await.is_none() {
                            tokio::task::yield_now().await;
                        }
                    }
                }));
            }
            // Rounds 0 and 1 erase users with few or no stored events.
            tokio::time::sleep(Duration::from_millis(15 * round)).await;
            let (rest, path) = (server.rest(), format!("/v1/users/{name}"));
            let answer = tokio::task::spawn_blocking(move || rest.delete(&path)).await.unwrap();
            assert_eq!(answer.status, 204, "{}", answer.body);
            assert_eq!(server.rest().get(&format!("/user/{name}")).status, 404);
            if round % 2 == 0 {
                // A new user takes the key while the old sockets still send.
                assert_eq!(server.rest().put(&format!("/v1/users/{name}"), &json!({})).status, 201);
                assert_eq!(server.rest().history(&name), [] as [Value; 0]);
            }
            for one in acting {
                one.await.unwrap();
            }
            if round % 2 == 0 {
                assert_eq!(server.rest().history(&name), [] as [Value; 0], "round {round}");
            }
        }
        server.kill()
    });
    let store = support::store(directory.path());
    let (status, said) = support::run(&["db", "check", "--store", &store]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("0 people, 0 entries"), "{said}");
    for round in 0..8 {
        for socket in 0..3 {
            assert_eq!(found(directory.path(), &format!("s{socket}-1")), 0, "round {round}");
        }
    }
}
