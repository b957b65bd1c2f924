//! Random requests and frames, including small ones with large effects.
//!
//! Invariant: a seed gives equal requests in every run. `FUZZ_REQUESTS` and `FUZZ_SEED` set number and seed. With
//! 20,000 and more, `/health` must answer within 200 ms, which needs an otherwise idle machine.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::bounds::{Health, limited};
use crate::support::rest::{raw, request};
use crate::support::socket::open;

#[derive(Clone, Debug)]
enum Case {
    /// A request whose answer is read.
    Asked(Vec<u8>),
    /// A request that is sent in part, or whose answer is not read.
    Unread(Vec<u8>, usize),
    /// Text frames of one socket.
    Frames(Vec<String>),
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["ada", "grace", "item-1", "item-4", "a", "nobody", "time_spent"]).prop_map(str::to_owned),
        2 => "[a-z0-9_.-]{1,12}",
        1 => "\\PC{0,40}",
        1 => (200_usize..300).prop_map(|n| "x".repeat(n)),
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2.0..2.0).prop_map(|n: f64| json!(n)),
        prop::sample::select(vec![0_i64, 1, -1, i64::MAX, i64::MIN, 253_402_300_800_000]).prop_map(Value::from),
        key().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

/// Valid bodies, of which one field is changed.
fn good() -> Vec<Value> {
    vec![
        json!({"user": "ada", "id": "e-1", "item": "item-1", "kind": "like", "dwell_ms": 5, "at": 1_700_000_000_000_i64}),
        json!({"id": "item-9", "text": "words", "topics": ["a", "b"], "author": "ada", "created": 5, "windows": [{"start": 1, "stop": 2}]}),
        json!({"text": "words", "embedding": vec![0.5; 384]}),
        json!({"name": "Ada", "attributes": {"age": 30}}),
        json!({"topics": {"a": 0.5}, "id": "t-1"}),
        json!({"label": "accepted"}),
        json!({"metric": "time_spent", "page_type": "post", "time_spent": 12.5, "id": "m-1"}),
        json!({"user": "ada", "days": 3}),
        json!({"kind": "count", "unit": "m", "range": [-5, 5], "prior": {"mean": 1, "rate": 2}, "types": ["a"], "attribute": "age"}),
        json!({"type": "hello", "user": "ada", "limit": 10}),
        json!({"type": "interact", "id": "f-1", "item": "item-2", "kind": "click"}),
        json!({"type": "post", "id": "f-2", "text": "words", "topic": "a"}),
        json!({"type": "live", "id": "f-3", "item": "item-1", "on": true}),
        json!({"type": "configure", "topics": {"a": 0.5}, "limit": 20}),
        json!({"type": "more", "after": 10}),
        json!({"type": "drawn", "version": 1, "visible": ["item-1"]}),
        json!({"type": "follow", "id": "f-4", "user": "grace"}),
    ]
}

fn nearly_good() -> impl Strategy<Value = Value> {
    changed(prop::sample::select(good()))
}

fn changed(good: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (good, any::<prop::sample::Index>(), json_value(), 0..4).prop_map(|(mut good, place, value, how)| {
        let fields = good.as_object_mut().unwrap();
        let name = fields.keys().nth(place.index(fields.len())).cloned().unwrap();
        match how {
            0 => {}
            1 => {
                fields.insert(name, value);
            }
            2 => {
                fields.remove(&name);
            }
            _ => {
                fields.insert("another".into(), value);
            }
        }
        good
    })
}

/// Bodies that are small or repetitive, and have large effects.
fn amplifying() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "1",
        "{}",
        "[]",
        "null",
        "\"\"",
        "{\"a\":1}",
        "1e999",
        r#"{"user":"ada","item":"item-1","kind":"view"}"#,
        r#"{"user":"ada","item":"nowhere","kind":"view"}"#,
        r#"{"text":"x"}"#,
        r#"{"metric":"time_spent","page_type":"post","time_spent":1}"#,
        r#"{"start":1,"stop":2}"#,
    ]);
    let count = prop_oneof![6 => 1_usize..200, 2 => 200_usize..12_000, 1 => 12_000_usize..200_000];
    (part, count, 0..9).prop_map(|(part, count, how)| match how {
        0..=2 => format!("[{}]", vec![part; count].join(",")),
        3 => format!("{part}\n").repeat(count),
        4 => format!(r#"{{"text":"x","topics":[{}]}}"#, vec!["\"a\""; count].join(",")),
        5 => {
            format!(r#"{{"topics":{{{}}}}}"#, (0..count).map(|n| format!("\"t{n}\":0.5")).collect::<Vec<_>>().join(","))
        }
        6 => format!(r#"{{"{}":1}}"#, "k".repeat(count)),
        7 => format!("{}1{}", "[".repeat(count), "]".repeat(count)),
        _ => format!(r#"[{{"metric":"x","a":[{}]}}]"#, vec!["1"; count].join(",")),
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => nearly_good().prop_map(|value| value.to_string().into_bytes()),
        2 => prop::collection::vec(nearly_good(), 0..20).prop_map(|list| json!(list).to_string().into_bytes()),
        2 => json_value().prop_map(|value| value.to_string().into_bytes()),
        2 => amplifying().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (nearly_good(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(value, place, byte)| {
            let mut bytes = value.to_string().into_bytes();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            bytes
        }),
    ]
}

fn target() -> impl Strategy<Value = (String, String)> {
    let routes: Vec<(&str, &str)> = eddyline::gateway::ROUTES
        .iter()
        .chain(eddyline::gateway::rest::ROUTES)
        .flat_map(|(path, methods)| methods.iter().map(|method| (*path, *method)))
        // Other tests cover these: their changes would end the rest of the run.
        .filter(|(path, _)| !path.starts_with("/v1/keys") && !path.starts_with("/v1/tokens"))
        .collect();
    let method = prop_oneof![
        12 => Just(None),
        1 => prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "DANCE"]).prop_map(Some),
    ];
    let parameter = (
        prop::sample::select(vec![
            "limit", "after", "at", "live", "from", "to", "prefix", "cluster", "id", "time", "ranking", "explain",
            "user", "sigmas", "type", "topic", "publish", "version", "x",
        ]),
        prop_oneof![
            4 => prop::sample::select(vec!["1", "0", "1000", "100", "-1", "", "true", "ada", "model", "2024-03-15T00:00:00Z", "9223372036854775807"]).prop_map(str::to_owned),
            1 => key(),
            1 => (1_usize..20_000).prop_map(|n| "9".repeat(n)),
        ],
    );
    (prop::sample::select(routes), method, key(), prop::collection::vec(parameter, 0..3)).prop_map(
        |((path, own), method, key, parameters)| {
            let escaped = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC).to_string();
            let mut target = String::new();
            let mut rest = path;
            while let Some((before, after)) = rest.split_once('{') {
                target.push_str(before);
                target.push_str(&escaped);
                rest = after.split_once('}').map_or("", |(_, rest)| rest);
            }
            target.push_str(rest);
            for (index, (name, value)) in parameters.iter().enumerate() {
                let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
                target.push_str(&format!("{}{name}={value}", if index == 0 { '?' } else { '&' }));
            }
            let own = if own == "SOCKET" { "GET" } else { own };
            (method.unwrap_or(own).to_owned(), target)
        },
    )
}

fn whole_request() -> impl Strategy<Value = Vec<u8>> {
    let media = prop_oneof![
        8 => Just("application/json"),
        2 => Just("application/x-ndjson"),
        1 => prop::sample::select(vec!["text/plain", "application/octet-stream", "", "a/b; c=d"]),
    ];
    (target(), media, body()).prop_map(|((method, target), media, body)| {
        let body = if method == "GET" || method == "HEAD" { Vec::new() } else { body };
        request(&method, &target, Some(media), &body)
    })
}

/// Method and path of each of the first bodies of [`good`].
const PLACES: [(&str, &str); 9] = [
    ("POST", "/v1/interactions"),
    ("POST", "/v1/items"),
    ("PUT", "/v1/items/item-4"),
    ("PUT", "/v1/users/grace"),
    ("PATCH", "/v1/users/ada/model"),
    ("POST", "/v1/users/ada/predictions/item-1"),
    ("POST", "/v1/metrics?user=ada"),
    ("POST", "/v1/tokens"),
    ("PUT", "/v1/metrics/mood"),
];

/// Bodies at their routes: single, in lists, as lines, and those with large effects.
fn placed_request() -> impl Strategy<Value = Vec<u8>> {
    let one = (0..PLACES.len()).prop_flat_map(|place| {
        changed(Just(good()[place].clone())).prop_map(move |body| (place, "application/json", body.to_string()))
    });
    let many = (prop::sample::select(vec![0_usize, 1, 6]), any::<bool>()).prop_flat_map(|(place, lines)| {
        prop::collection::vec(changed(Just(good()[place].clone())), 0..30).prop_map(move |parts| {
            if lines {
                let text: String = parts.iter().map(|part| format!("{part}\n")).collect();
                (place, "application/x-ndjson", text)
            } else {
                (place, "application/json", json!(parts).to_string())
            }
        })
    });
    let media = prop::sample::select(vec!["application/json", "application/x-ndjson"]);
    let much = (prop::sample::select(vec![0_usize, 1, 2, 4, 6]), media, amplifying());
    prop_oneof![3 => one, 2 => many, 2 => much].prop_map(|(place, media, body)| {
        let (method, path) = PLACES[place];
        request(method, path, Some(media), body.as_bytes())
    })
}

fn case() -> impl Strategy<Value = Case> {
    let frame = prop_oneof![
        4 => nearly_good().prop_map(|value| value.to_string()),
        1 => json_value().prop_map(|value| value.to_string()),
        1 => amplifying().prop_map(|text| text.chars().take(60_000).collect()),
    ];
    prop_oneof![
        10 => whole_request().prop_map(Case::Asked),
        10 => placed_request().prop_map(Case::Asked),
        2 => (whole_request(), any::<prop::sample::Index>())
            .prop_map(|(bytes, end)| { let end = end.index(bytes.len()) + 1; Case::Unread(bytes, end) }),
        1 => placed_request().prop_map(|bytes| { let end = bytes.len(); Case::Unread(bytes, end) }),
        2 => prop::collection::vec(frame, 1..8).prop_map(Case::Frames),
    ]
}

/// Detects an answer that the server must not give.
fn fault(
    address: SocketAddr,
    case: &Case,
    runtime: &tokio::runtime::Runtime,
    statuses: &Mutex<BTreeMap<u16, usize>>,
) -> Option<String> {
    match case {
        Case::Asked(bytes) => {
            let answer = raw(address, bytes);
            *statuses.lock().unwrap().entry(answer.status).or_default() += 1;
            let is_busy = answer.status == 503 && answer.header("retry-after").is_some();
            (answer.status >= 500 && !is_busy).then(|| format!("{} {:.300}", answer.status, answer.body))
        }
        Case::Unread(bytes, end) => {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.set_write_timeout(Some(Duration::from_millis(300))).ok()?;
            stream.set_read_timeout(Some(Duration::from_millis(5))).ok()?;
            let _ = stream.write_all(&bytes[..*end]);
            let _ = stream.read(&mut [0; 100]);
            let _ = stream.shutdown(Shutdown::Both);
            None
        }
        Case::Frames(frames) => runtime.block_on(async {
            let mut socket = open(address).await;
            let _ = socket.send(Message::text(r#"{"type":"hello","user":"grace"}"#)).await;
            for frame in frames {
                if socket.send(Message::text(frame)).await.is_err() {
                    return None;
                }
            }
            let _ = socket.send(Message::text(r#"{"type":"ping","t":-77}"#)).await;
            let listening = async {
                while let Some(Ok(heard)) = socket.next().await {
                    let Ok(text) = heard.to_text() else { continue };
                    if text.contains(r#""code":"internal""#) {
                        return Some(text.to_owned());
                    }
                    // Another case may have erased the user: then only `hello` is answered.
                    if text.contains(r#""t":-77"#) || text.contains(r#""code":"hello_first""#) {
                        return None;
                    }
                }
                None
            };
            tokio::time::timeout(Duration::from_secs(10), listening).await.ok().flatten()
        }),
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn whatever_is_asked_is_answered_without_a_fault_and_health_goes_on() {
    let (count, seed) = (from_env("FUZZ_REQUESTS", 2_000), from_env("FUZZ_SEED", 12));
    // Faults use up the address's rate limit; this test is about the answers.
    let server =
        limited(&[("EDDYLINE_RATE__ADDRESS__PER_SECOND", "1000000"), ("EDDYLINE_RATE__ADDRESS__BURST", "1000000")]);
    let address = server.address();
    let health = Health::of(address);
    let (wrong, statuses) = (Mutex::new(Vec::new()), Mutex::default());
    let threads = 6;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (wrong, statuses) = (&wrong, &statuses);
            scope.spawn(move || {
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&seed.to_le_bytes());
                bytes[8] = thread as u8;
                let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
                let mut runner = TestRunner::new_with_rng(Config::default(), random);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let cases = case();
                for _ in 0..count / threads {
                    let case = cases.new_tree(&mut runner).unwrap().current();
                    if let Some(fault) = fault(address, &case, &runtime, statuses) {
                        let shown: String = format!("{case:?}").chars().take(600).collect();
                        wrong.lock().unwrap().push(format!("{fault}\n  {shown}"));
                    }
                }
            });
        }
    });
    let times = health.end();
    let (worst, peak) = (times.last().copied().unwrap_or_default(), server.peak_memory());
    println!(
        "{count} requests, seed {seed}: /health median {:?}, 99 % {:?}, worst {worst:?} of {}; peak {} MiB",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times.len(),
        peak >> 20
    );
    let (wrong, statuses) = (wrong.into_inner().unwrap(), statuses.into_inner().unwrap());
    println!("statuses: {statuses:?}");
    let good: usize = statuses.iter().filter(|(status, _)| (200..300).contains(*status)).map(|(_, count)| count).sum();
    assert!(good as u64 > count / 20, "hardly anything was good enough to be carried out: {statuses:?}");
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    let most = if count >= 20_000 { Duration::from_millis(200) } else { Duration::from_secs(5) };
    assert!(worst < most, "/health took {worst:?}");
    let log = server.log();
    assert!(!log.contains("panicked"), "something panicked:\n{log}");
}
