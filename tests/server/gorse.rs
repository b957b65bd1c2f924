//! The door for clients of Gorse: users, items, feedback and recommendations below `/api`, on both stores.
//!
//! Invariant: each scenario runs on the embedded store and on Postgres. The suite of PyGorse runs where `tests/run` has prepared
//! it.

use crate::{postgres, support};

use std::process::Command;

use serde_json::{Value, json};
use support::rest::Answer;
use support::{Server, store};
use tempfile::TempDir;

const KEY: &str = "zhenghaoz";

struct Gorse {
    server: Server,
    key: &'static str,
}

impl Gorse {
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.ask_with(method, path, body, &[])
    }

    fn ask_with(&self, method: &str, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("X-API-Key", self.key)], headers].concat();
        self.server.rest().ask_with(method, &format!("/api{path}"), None, body, &headers)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.json()
    }

    /// A change; returns `RowAffected`.
    #[track_caller]
    fn change(&self, method: &str, path: &str, body: Option<&Value>) -> u64 {
        let answer = self.ask(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.json()["RowAffected"].as_u64().unwrap()
    }

    #[track_caller]
    fn refused(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let answer = self.ask(method, path, body);
        assert!(answer.header("content-type").is_some_and(|media| media.starts_with("text/plain")), "{answer:?}");
        (answer.status, answer.body)
    }

    fn feedback(&self, path: &str) -> Vec<(String, String, f64)> {
        let row = |row: &Value| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (text("FeedbackType"), text("ItemId"), row["Value"].as_f64().unwrap())
        };
        let mut rows: Vec<_> = self.get(path).as_array().unwrap().iter().map(row).collect();
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
        rows
    }

    fn ids(&self, path: &str) -> Vec<String> {
        let id = |score: &Value| score["Id"].as_str().unwrap().to_owned();
        self.get(path).as_array().unwrap().iter().map(id).collect()
    }
}

fn started(directory: TempDir, url: String, more: &[(&str, &str)]) -> Gorse {
    let variables = [&[("EDDYLINE_GORSE__API_KEY", KEY), ("EDDYLINE_DIM", "3")], more].concat();
    Gorse { server: Server::start_on_with(directory, url, &variables), key: KEY }
}

/// Runs a scenario on the embedded store, then on Postgres.
fn on_both_stores(more: &[(&str, &str)], scenario: impl Fn(&Gorse)) {
    let directory = TempDir::new().unwrap();
    let url = store(directory.path());
    scenario(&started(directory, url, more));
    if !postgres::skipped() {
        let url = postgres::shared().url(&postgres::shared().database());
        scenario(&started(TempDir::new().unwrap(), url, more));
    }
}

/// Four users and ten items: those that the suite of PyGorse names, and the nearest neighbours of item 1 by embedding.
fn seed(gorse: &Gorse) {
    let user = |id: &str, age: u32, occupation: &str, zip: &str| {
        let labels = json!({"age": age, "gender": "M", "occupation": occupation, "zip_code": zip});
        json!({"UserId": id, "Labels": labels, "Comment": ""})
    };
    let users = json!([
        user("1", 24, "technician", "85711"),
        user("10", 53, "lawyer", "90703"),
        user("100", 36, "executive", "90254"),
        user("2", 53, "other", "94043"),
    ]);
    assert_eq!(gorse.change("POST", "/users", Some(&users)), 4);
    let item = |id: &str, title: &str, categories: &[&str], day: &str, embedding: [f64; 3]| {
        json!({
            "ItemId": id, "IsHidden": false, "Labels": {"embedding": embedding}, "Categories": categories,
            "Timestamp": format!("{day}T00:00:00Z"), "Comment": title,
        })
    };
    let items = json!([
        item("1", "Toy Story (1995)", &["Animation", "Children's", "Comedy"], "1995-01-01", [1.0, 0.0, 0.0]),
        item("10", "Richard III (1995)", &["Drama", "War"], "1996-01-22", [0.0, 1.0, 0.2]),
        item("100", "Fargo (1996)", &["Crime", "Drama", "Thriller"], "1997-02-14", [0.0, 0.9, 0.5]),
        item("1060", "Adventures of Pinocchio", &["Children's"], "1996-07-26", [0.99, 0.1, 0.0]),
        item("404", "Pinocchio (1940)", &["Animation", "Children's"], "1940-02-07", [0.95, 0.3, 0.0]),
        item("1219", "Goofy Movie", &["Animation", "Comedy"], "1995-04-07", [0.9, 0.4, 0.1]),
        item("11", "Seven (1995)", &["Crime", "Thriller"], "1995-09-22", [0.1, 0.2, 0.9]),
        item("315", "Apt Pupil (1998)", &["Drama", "Thriller"], "1998-10-23", [0.1, 0.8, 0.6]),
        item("1432", "Mighty, The (1998)", &["Drama"], "1998-10-09", [0.2, 0.9, 0.1]),
        item("918", "City of Angels (1998)", &["Romance"], "1998-04-10", [0.1, 0.7, 0.1]),
    ]);
    assert_eq!(gorse.change("POST", "/items", Some(&items)), 10);
}

#[test]
fn users_come_back_in_the_order_of_their_ids() {
    on_both_stores(&[], |gorse| {
        seed(gorse);
        let page = gorse.get("/users?n=3");
        let ids: Vec<&str> =
            page["Users"].as_array().unwrap().iter().map(|user| user["UserId"].as_str().unwrap()).collect();
        assert_eq!(ids, ["1", "10", "100"]);
        // Some clients write the name of the parameter with a capital letter.
        for name in ["cursor", "Cursor"] {
            let rest = gorse.get(&format!("/users?n=3&{name}={}", page["Cursor"].as_str().unwrap()));
            assert_eq!((&rest["Users"][0]["UserId"], &rest["Cursor"]), (&json!("2"), &json!("")), "{name}");
        }
        let user = json!({"UserId": "ada", "Labels": {"tags": ["a", "b"], "age": 7}, "Comment": "hello"});
        assert_eq!(gorse.change("POST", "/user", Some(&user)), 1);
        assert_eq!(gorse.get("/user/ada"), user);
        assert_eq!(gorse.change("PATCH", "/user/ada", Some(&json!({"Comment": "bye", "Labels": null}))), 1);
        assert_eq!(gorse.get("/user/ada"), json!({"UserId": "ada", "Labels": user["Labels"], "Comment": "bye"}));
        assert_eq!(gorse.change("POST", "/user", Some(&json!({"UserId": "ada"}))), 1);
        assert_eq!(gorse.get("/user/ada"), json!({"UserId": "ada", "Labels": null, "Comment": ""}), "it is replaced");
        assert_eq!(gorse.change("DELETE", "/user/ada", None), 1);
        assert_eq!(gorse.refused("GET", "/user/ada", None), (404, "user ada not found".to_owned()));
        assert_eq!(gorse.change("DELETE", "/user/ada", None), 1, "as in Gorse");
        let mixed = json!({"UserId": "bob", "Labels": ["price", 100]});
        assert_eq!(gorse.refused("POST", "/user", Some(&mixed)).0, 400);
        assert_eq!(gorse.refused("GET", "/users?cursor=!", None).0, 400);
    });
}

#[test]
fn items_come_back_and_a_hidden_one_is_never_recommended() {
    on_both_stores(&[], |gorse| {
        seed(gorse);
        let page = gorse.get("/items?n=4");
        let ids: Vec<&str> =
            page["Items"].as_array().unwrap().iter().map(|item| item["ItemId"].as_str().unwrap()).collect();
        assert_eq!(ids, ["1", "10", "100", "1060"]);
        let rest = gorse.get(&format!("/items?n=100&cursor={}", page["Cursor"].as_str().unwrap()));
        assert_eq!((rest["Items"].as_array().unwrap().len(), &rest["Cursor"]), (6, &json!("")));
        assert_eq!(gorse.get("/items?q=pinocchio&n=5")["Items"].as_array().unwrap().len(), 2);
        assert_eq!(gorse.ids("/item/1/neighbors?n=3"), ["1060", "404", "1219"]);
        assert_eq!(gorse.ids("/item/1/neighbors/Comedy?n=3"), ["1219"]);
        assert_eq!(gorse.ids("/latest?n=3"), ["315", "1432", "918"]);
        assert_eq!(gorse.get("/latest?n=1"), json!([{"Id": "315", "Score": 909_100_800.0}]));
        assert_eq!(gorse.ids("/latest/Romance"), ["918"]);
        assert_eq!(gorse.ids("/latest?category=Drama&category=Thriller"), ["315", "100"]);
        assert_eq!(gorse.ids("/latest/nothing"), [""; 0]);
        assert_eq!(gorse.ids("/popular?n=20").len(), 10);

        let item = json!({
            "ItemId": "2000", "IsHidden": true, "Labels": {"embedding": [0.1, 0.2, 0.3], "price": 7},
            "Categories": ["Comedy", "Animation"], "Timestamp": "2015-06-17T00:00:00Z", "Comment": "Minions (2015)",
        });
        assert_eq!(gorse.change("POST", "/item", Some(&item)), 1);
        assert_eq!(gorse.get("/item/2000"), item);
        assert!(!gorse.ids("/latest").contains(&"2000".to_owned()), "it is hidden");
        assert_eq!(gorse.change("PATCH", "/item/2000", Some(&json!({"IsHidden": false, "Comment": "小黄人"}))), 1);
        let changed = gorse.get("/item/2000");
        assert_eq!(
            (&changed["Comment"], &changed["Labels"]),
            (&json!("小黄人"), &item["Labels"]),
            "the embedding stays"
        );
        assert_eq!(gorse.ids("/latest?n=1"), ["2000"]);
        assert_eq!(gorse.change("PATCH", "/item/2000", Some(&json!({"IsHidden": true}))), 1);
        assert_eq!(gorse.get("/item/2000")["IsHidden"], json!(true));
        assert_eq!(gorse.ids("/latest?n=1"), ["315"]);
        assert_eq!(gorse.change("PUT", "/item/2000/category/New", None), 1);
        assert_eq!(gorse.change("DELETE", "/item/2000/category/Comedy", None), 1);
        assert_eq!(gorse.get("/item/2000")["Categories"], json!(["Animation", "New"]));
        assert_eq!(gorse.change("DELETE", "/item/2000", None), 1);
        assert_eq!(gorse.refused("GET", "/item/2000", None), (404, "item 2000 not found".to_owned()));
    });
}

#[test]
fn feedback_is_added_up_and_creates_users_and_items() {
    on_both_stores(&[("EDDYLINE_GORSE__KINDS__RATING", "like")], |gorse| {
        seed(gorse);
        let one = |name: &str, user: &str, item: &str, value: f64| json!({"FeedbackType": name, "UserId": user, "ItemId": item, "Value": value, "Timestamp": "", "Comment": ""});
        let list =
            json!([one("rating", "new", "1", 2.0), one("rating", "new", "1", 3.0), one("read", "new", "new/1", 0.0)]);
        assert_eq!(gorse.change("POST", "/feedback", Some(&list)), 3);
        let row = |name: &str, item: &str, value: f64| (name.to_owned(), item.to_owned(), value);
        assert_eq!(gorse.feedback("/user/new/feedback"), [row("rating", "1", 5.0), row("read", "new/1", 0.0)]);
        assert_eq!(gorse.feedback("/user/new/feedback/rating%3E=5"), [row("rating", "1", 5.0)]);
        assert_eq!(gorse.feedback("/user/new/feedback/rating%3E5"), []);
        assert_eq!(gorse.feedback("/item/1/feedback/rating"), [row("rating", "1", 5.0)]);
        assert_eq!(gorse.feedback("/feedback/new/new%2F1"), [row("read", "new/1", 0.0)]);
        assert_eq!(gorse.get("/feedback/rating/new/1")["Value"], json!(5.0));
        assert_eq!(gorse.get("/feedback/other/new/1"), json!({}));
        assert_eq!(gorse.get("/item/new%2F1")["Timestamp"], json!("0001-01-01T00:00:00Z"), "older than all others");
        assert_eq!(gorse.get("/item/new%2F1")["Comment"], json!(""));
        // Interactions of the native API are feedback of their kind.
        let native = json!({"id": "n1", "user": "new", "item": "10", "kind": "share"});
        gorse.server.rest().post("/v1/interactions", &native).success("a native interaction");
        assert_eq!(gorse.feedback("/user/new/feedback/share"), [row("share", "10", 1.0)]);
        let kinds: Vec<Value> = gorse.server.rest().history("new").iter().map(|row| row["kind"].clone()).collect();
        assert_eq!(kinds, [json!("share"), json!("view"), json!("like"), json!("like")]);
        let page = gorse.get("/feedback?n=3");
        assert_eq!(page["Feedback"].as_array().unwrap().len(), 3);
        let rest = gorse.get(&format!("/feedback?n=3&cursor={}", page["Cursor"].as_str().unwrap()));
        assert_eq!((rest["Feedback"].as_array().unwrap().len(), &rest["Cursor"]), (1, &json!("")));
        assert_eq!(gorse.get("/feedback/read?n=3")["Feedback"].as_array().unwrap().len(), 1);
        assert_eq!(gorse.ids("/latest?n=2&user-id=new"), ["315", "1432"]);
        assert!(!gorse.ids("/popular?n=100&user-id=new").contains(&"1".to_owned()), "it was read");
        assert_eq!(gorse.refused("POST", "/feedback", Some(&json!([{"UserId": "new"}]))).0, 400);
        // PUT replaces a row, DELETE cancels rows.
        let list =
            json!([one("rating", "new", "1", 1.0), one("rating", "new", "1", 4.0), one("rating", "new", "100", 2.0)]);
        assert_eq!(gorse.change("PUT", "/feedback", Some(&list)), 3);
        let ratings = [row("rating", "1", 4.0), row("rating", "100", 2.0)];
        assert_eq!(gorse.feedback("/user/new/feedback/rating"), ratings);
        assert_eq!(gorse.feedback("/item/1/feedback"), ratings[..1]);
        assert_eq!(gorse.change("POST", "/feedback", Some(&json!([one("star", "new", "1", 1.0)]))), 1);
        assert_eq!(gorse.change("DELETE", "/feedback/star/new/1", None), 1);
        assert_eq!(gorse.change("DELETE", "/feedback/new/1", None), 1);
        assert_eq!(gorse.change("DELETE", "/feedback/new/1", None), 0);
        assert_eq!(gorse.change("DELETE", "/feedback/unknown/1", None), 0);
        assert_eq!(gorse.change("DELETE", "/feedback/new/10", None), 1, "an interaction of the native API");
        let left = [row("rating", "100", 2.0), row("read", "new/1", 0.0)];
        assert_eq!(gorse.feedback("/user/new/feedback"), left);
        assert_eq!(gorse.get("/feedback?n=100")["Feedback"].as_array().unwrap().len(), 2);
        assert_eq!(gorse.refused("POST", "/feedback", Some(&json!([one("", "new", "1", 1.0)]))).0, 400);
    });
}

#[test]
fn recommendations_are_the_models_and_the_newest_items_for_a_new_user() {
    on_both_stores(&[], |gorse| {
        seed(gorse);
        let scored = |path: &str| {
            let answer = gorse.ask_with("GET", path, None, &[("X-API-Version", "2")]).json();
            let id = |score: &Value| score["Id"].as_str().unwrap().to_owned();
            answer.as_array().unwrap().iter().map(id).collect::<Vec<_>>()
        };
        assert_eq!(scored("/recommend/1/?n=3"), ["315", "1432", "918"]);
        assert_eq!(gorse.get("/recommend/unknown?n=2"), json!(["315", "1432"]));
        assert_eq!(gorse.get("/recommend/1?n=2&offset=1"), json!(["1432", "918"]));
        assert_eq!(gorse.get("/recommend/1/Romance"), json!(["918"]));
        let likes = ["1060", "404"].map(|item| json!({"FeedbackType": "like", "UserId": "1", "ItemId": item}));
        assert_eq!(gorse.change("POST", "/feedback", Some(&json!(likes))), 2);
        let feed = gorse.server.rest().feed("1", "limit=100");
        assert_eq!(scored("/recommend/1?n=100"), feed, "the ranking of the model");
        assert_eq!(gorse.ids("/collaborative-filtering/1?n=100"), feed);
        let drama: Vec<_> = feed.iter().filter(|id| ["10", "100", "315", "1432"].contains(&id.as_str())).collect();
        assert_eq!(gorse.get("/recommend/1/Drama?n=100"), json!(drama), "categories filter the ranking");
        let written = gorse.get("/recommend/2?n=2&write-back-type=read&write-back-delay=10m");
        assert_eq!(written, json!(["315", "1432"]));
        assert_eq!(gorse.feedback("/user/2/feedback/read").len(), 2);
        assert_eq!(gorse.refused("GET", "/recommend/2?write-back-type=read&write-back-delay=soon", None).0, 400);
        let foreign = [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")];
        assert_eq!(gorse.ask_with("GET", "/recommend/2?write-back-type=read", None, &foreign).status, 403);
        let session = json!([{"FeedbackType": "like", "UserId": "", "ItemId": "1"}]);
        let answer = gorse.ask("POST", "/session/recommend?n=2", Some(&session));
        assert_eq!(answer.json().as_array().unwrap().len(), 2, "{}", answer.body);
        assert!(!answer.body.contains(r#""1""#), "the item itself is left out");
        let like = json!([{"FeedbackType": "like", "UserId": "10", "ItemId": "1060"}]);
        assert_eq!(gorse.change("POST", "/feedback", Some(&like)), 1);
        assert_eq!(gorse.ids("/user/1/neighbors"), ["10"]);
        assert_eq!(gorse.ids("/user-to-user/any/10"), ["1"]);
        // Without feedback again, the user is as a new one.
        assert_eq!(gorse.change("DELETE", "/feedback/1/1060", None), 1);
        assert_eq!(gorse.change("DELETE", "/feedback/1/404", None), 1);
        assert_eq!(scored("/recommend/1?n=3"), ["315", "1432", "918"]);
    });
}

#[test]
fn the_key_opens_the_door_alone() {
    let directory = TempDir::new().unwrap();
    let url = store(directory.path());
    let gorse = started(directory, url, &[]);
    for key in ["", "wrong", "zhenghaoz1"] {
        let headers = [("X-API-Key", key)];
        let answer = gorse.server.rest().ask_with("GET", "/api/users", None, None, &headers);
        assert_eq!((answer.status, answer.body.as_str()), (401, "unauthorized"), "{key:?}");
    }
    for path in ["/api/health/live", "/api/health/ready"] {
        let health = gorse.server.rest().get(path);
        assert_eq!((health.status, &health.json()["Ready"]), (200, &json!(true)), "{path}");
    }
    assert!(!gorse.server.log().contains(KEY), "the key is in the log");
}

/// PyGorse 0.5.1 and its own tests, in the directory that `tests/run` prepares and names in `EDDYLINE_TEST_PYGORSE`. The suite
/// asks 127.0.0.1:8088, so both stores take their turn.
#[test]
#[ignore = "needs PyGorse: tests/run prepares it and runs this test"]
#[allow(clippy::print_stdout, reason = "tests/run counts the tests of the suite by their lines")]
fn the_suite_of_pygorse_passes() {
    let prepared =
        std::env::var("EDDYLINE_TEST_PYGORSE").expect("EDDYLINE_TEST_PYGORSE names the directory of PyGorse");
    on_both_stores(&[("EDDYLINE_LISTEN", "127.0.0.1:8088")], |gorse| {
        seed(gorse);
        let mut suite = Command::new(format!("{prepared}/venv/bin/python"));
        suite.args(["-m", "unittest", "discover", "-v", "-s", "tests"]).current_dir(format!("{prepared}/suite"));
        let output = suite.output().expect("the suite runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{said}");
        assert!(output.status.success(), "{said}");
        assert!(said.contains("Ran 12 tests"), "{said}");
    });
}
