//! Keys, tokens, limits and TLS on the real server, changed while it runs.
//!
//! Invariant: no test sleeps for a fixed time where it can wait for the event itself.

use crate::support;

use crate::former_holder;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eddyline::gateway::access::KEYS_MAX;
use eddyline::protocol::server::ServerMessage;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use support::rest::Rest;
use support::{PATIENCE, Server, block_on, run, socket, store};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const SECRET: &str = "a secret of the tests, of 32 bytes and more";

/// Runs `eddyline token …`: status, standard output, standard error.
fn token(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(crate::support::program());
    let output = command.arg("token").args(arguments).envs(environment.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn made(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let (status, out, err) = token(arguments, environment);
    assert_eq!(status, Some(0), "{arguments:?}: {err}");
    assert_eq!((out.lines().count(), out.matches('.').count()), (1, 2), "only the token is on standard output: {out}");
    out
}

fn jti_of(rest: &Rest, service: &str, user: &str) -> (String, String) {
    let made = rest.ask("POST", "/v1/tokens", Some(service), Some(&json!({"user": user, "days": 1})));
    let made = made.success("make a token").json();
    (made["jti"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
}

/// Repeats the request until it has this status; returns the elapsed time.
fn until(rest: &Rest, path: &str, token: &str, status: u16) -> Duration {
    let begin = Instant::now();
    loop {
        let found = rest.ask("GET", path, Some(token), None).status;
        if found == status {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < PATIENCE, "{path} never said {status}, but {found}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn tokens_are_looked_after_on_a_store_and_through_a_server() {
    let directory = TempDir::new().unwrap();
    let url = store(directory.path());
    // On a store that no process has open. The first token creates the first key.
    let service = made(&["create", "--service", "--days", "2", "--store", &url], &[]);
    let doomed = made(&["create", "--user", "ada", "--store", &url], &[]);
    let (_, listed, _) = token(&["list", "--store", &url], &[]);
    let rows: Vec<Vec<&str>> = listed.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 2, "{listed}");
    let ada = rows.iter().find(|row| row[2] == "user ada").expect("the token of ada");
    assert_eq!(token(&["revoke", ada[0], "--store", &url], &[]).0, Some(0));
    assert_eq!(token(&["revoke", "nothing", "--store", &url], &[]).0, Some(1));
    let (_, listed, _) = token(&["list", "--store", &url], &[]);
    assert!(!listed.contains(&service) && !listed.contains(&doomed), "a list never shows tokens");

    // Through a server.
    let server = Server::start(directory);
    let at = format!("http://{}", server.address());
    let (status, _, said) = token(&["list", "--store", &url], &[]);
    assert_eq!(status, Some(1));
    assert!(said.contains("--url") && said.contains("EDDYLINE_TOKEN"), "it says what to do: {said}");
    let (status, _, said) = token(&["list", "--url", &at], &[]);
    assert!(status == Some(1) && said.contains("EDDYLINE_TOKEN"), "{said}");
    let with = [("EDDYLINE_TOKEN", service.as_str())];
    let user = made(&["create", "--user", "ada", "--url", &at], &with);
    let rest = server.rest();
    assert_eq!(rest.ask("PUT", "/v1/users/ada", Some(&user), None).status, 201);
    assert_eq!(rest.ask("GET", "/v1/users/ada", Some(&doomed), None).status, 401, "revoked before the start");
    let (status, out, _) = token(&["create", "--user", "ada", "--url", &at], &[("EDDYLINE_TOKEN", user.as_str())]);
    assert_eq!((status, out.as_str()), (Some(1), ""), "a user token makes no tokens");
    let (_, listed, _) = token(&["list", "--url", &at], &with);
    assert_eq!(listed.lines().count(), 4, "{listed}");
    let (status, kid, _) = token(&["rotate", "--url", &at], &with);
    assert!(status == Some(0) && kid.starts_with("key-"), "{kid}");
    let (_, keys, _) = token(&["keys", "--url", &at], &with);
    assert_eq!(keys.lines().count(), 3, "{keys}");
    assert_eq!(token(&["retire", &kid, "--url", &at], &with).0, Some(0));
    let row = listed.lines().find(|line| line.contains("user ada") && line.ends_with("\t-")).unwrap();
    assert_eq!(token(&["revoke", row.split('\t').next().unwrap(), "--url", &at], &with).0, Some(0));
    assert_eq!(rest.ask("GET", "/v1/users/ada", Some(&user), None).status, 401);
    let last = keys.lines().nth(1).unwrap().split('\t').next().unwrap();
    let (status, _, said) = token(&["retire", last, "--url", &at], &with);
    assert!(status == Some(1) && said.contains("last key"), "{said}");
    // Changes through the server are in the store.
    let directory = server.kill();
    let (_, listed, _) = token(&["list", "--store", &store(directory.path())], &[]);
    assert_eq!(listed.lines().filter(|line| !line.ends_with("\t-")).count(), 3, "a head and two revoked: {listed}");
}

#[test]
fn whoever_has_the_secret_needs_no_store() {
    let directory = TempDir::new().unwrap();
    let nowhere = store(&directory.path().join("nowhere"));
    let secret = [("EDDYLINE_SECRET", SECRET)];
    let service = made(&["create", "--service", "--store", &nowhere], &secret);
    assert!(!directory.path().join("nowhere").exists(), "no store was made");
    let server = Server::start_with(directory, &secret);
    assert_eq!(server.rest().ask("GET", "/v1/users", Some(&service), None).status, 200);
    // The server has the store open; the secret is enough nevertheless.
    let url = store(Path::new(&server.data_directory()));
    let another = made(&["create", "--service", "--store", &url], &secret);
    assert_eq!(server.rest().ask("GET", "/v1/users", Some(&another), None).status, 200);
    // A token that was made elsewhere is revoked by its id, until its expiry.
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(&another).unwrap().claims;
    let path = format!("/v1/tokens/{}", claims["jti"].as_str().unwrap());
    assert_eq!(server.rest().ask("DELETE", &path, Some(&service), None).status, 404);
    let expires = format!("{path}?expires={}", claims["exp"].as_i64().unwrap() * 1_000);
    assert_eq!(server.rest().ask("DELETE", &expires, Some(&service), None).status, 200);
    assert_eq!(server.rest().ask("GET", "/v1/users", Some(&another), None).status, 401);
    let server = Server::start_with(server.kill(), &secret);
    assert_eq!(server.rest().ask("GET", "/v1/users", Some(&another), None).status, 401, "after a restart, too");
}

#[test]
fn beyond_loopback_nobody_listens_without_a_key() {
    let directory = TempDir::new().unwrap();
    let url = store(directory.path());
    let serve = ["serve", "--store", &url, "--listen", "0.0.0.0:0"];
    let (status, said) = run(&serve);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("listen") && said.contains("EDDYLINE_SECRET"), "{said}");
    made(&["create", "--service", "--store", &url], &[]);
    let mut child = Command::new(crate::support::program())
        .args(serve)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("listening on http://0.0.0.0:"), "a key in the store is enough: {line}");
}

/// Keys change continuously, and a token whose key is not retired is never rejected.
#[test]
fn rotation_under_load_loses_no_request() {
    let directory = TempDir::new().unwrap();
    let service = made(&["create", "--service", "--store", &store(directory.path())], &[]);
    let server = Server::start_with(
        directory,
        &[("EDDYLINE_RATE__PERSON__PER_SECOND", "0"), ("EDDYLINE_RATE__MESSAGE__PER_SECOND", "0")],
    );
    let rest = server.rest();
    rest.ask("PUT", "/v1/users/ada", Some(&service), None).success("make ada known");
    let item = json!({"text": "an item"});
    rest.ask("PUT", "/v1/items/i", Some(&service), Some(&item)).success("put an item");
    let current = Arc::new(Mutex::new(jti_of(&rest, &service, "ada").1));
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (rest, current, done, asked) = (server.rest(), current.clone(), done.clone(), asked.clone());
            std::thread::spawn(move || {
                let mut refused = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let token = current.lock().unwrap().clone();
                    let number = asked.fetch_add(1, Ordering::Relaxed);
                    let act = json!({"user": "ada", "id": format!("{worker}-{number}"), "item": "i", "kind": "view"});
                    let answer = rest.ask("POST", "/v1/interactions", Some(&token), Some(&act));
                    if answer.status != 200 {
                        refused.push((answer.status, answer.body));
                    }
                }
                refused
            })
        })
        .collect();
    let mut rounds = 0;
    let begin = Instant::now();
    let mut service = service;
    // A key signs from ten seconds after its creation on; the load covers this change.
    while begin.elapsed() < Duration::from_secs(13) {
        let made = rest.ask("POST", "/v1/keys", Some(&service), None).success("rotate").json();
        assert!(made["kid"].as_str().unwrap().starts_with("key-"));
        *current.lock().unwrap() = jti_of(&rest, &service, "ada").1;
        let body = json!({"service": true, "days": 1});
        let next = rest.ask("POST", "/v1/tokens", Some(&service), Some(&body)).success("a service token").json();
        service = next["token"].as_str().unwrap().to_owned();
        rounds += 1;
        std::thread::sleep(Duration::from_millis(250));
    }
    done.store(true, Ordering::Relaxed);
    let refused: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    println!("{rounds} rotations, {} requests, {} refused", asked.load(Ordering::Relaxed), refused.len());
    assert!(refused.is_empty(), "{refused:?}");
    // The keys before the one that signs now are retired one by one: only their tokens become invalid.
    let keys = || rest.ask("GET", "/v1/keys", Some(&service), None).json()["keys"].as_array().unwrap().clone();
    let signer = |keys: &[Value]| keys.iter().find(|key| key["signs"] == true).unwrap()["kid"].clone();
    // Further keys become ten seconds old meanwhile: a token's signer is known only if the signer before and after is
    // one.
    let (keys, token) = (0..50)
        .find_map(|_| {
            let (before, token) = (signer(&keys()), jti_of(&rest, &service, "ada").1);
            let keys = keys();
            assert_ne!(before, keys[0]["kid"], "a newer key signs by now");
            (before == signer(&keys)).then(|| {
                assert_eq!(jsonwebtoken::decode_header(&token).unwrap().kid.as_deref(), before.as_str());
                (keys, token)
            })
        })
        .expect("a moment in which no key becomes ten seconds old");
    let old = keys[0]["kid"].as_str().unwrap();
    rest.ask("DELETE", &format!("/v1/keys/{old}"), Some(&service), None).success("retire the oldest");
    assert_eq!(rest.ask("GET", "/v1/users/ada", Some(&token), None).status, 200);
}

#[test]
fn a_revocation_takes_effect_on_requests_and_open_sockets() {
    let directory = TempDir::new().unwrap();
    let service = made(&["create", "--service", "--store", &store(directory.path())], &[]);
    let server = Server::start(directory);
    let rest = server.rest();
    rest.ask("PUT", "/v1/users/ada", Some(&service), None).success("make ada known");
    let (jti, token) = jti_of(&rest, &service, "ada");
    let (_, other) = jti_of(&rest, &service, "ada");
    block_on(async {
        let mut hello = socket::hello("ada");
        hello.token = Some(token.clone());
        let mut revoked = socket::Client::hello_with(server.address(), hello.clone()).await;
        hello.token = Some(other.clone());
        let mut stays = socket::Client::hello_with(server.address(), hello).await;
        let begin = Instant::now();
        rest.ask("DELETE", &format!("/v1/tokens/{jti}"), Some(&service), None).success("revoke");
        let took = until(&rest, "/v1/users/ada", &token, 401);
        let is_bye = |message: &ServerMessage| matches!(message, ServerMessage::Bye(bye) if bye.reason == "revoked");
        revoked.wait("bye with `revoked`", |client| client.heard.iter().any(is_bye)).await;
        println!("refused after {took:?}, its socket ended after {:?}", begin.elapsed());
        assert!(took < Duration::from_secs(3));
        stays.listen(Duration::from_secs(1)).await;
        assert!(!stays.heard.iter().any(is_bye), "another token of the same person");
    });
    assert_eq!(rest.ask("GET", "/v1/users/ada", Some(&other), None).status, 200);
}

#[test]
fn whoever_asks_too_much_is_told_to_wait() {
    let directory = TempDir::new().unwrap();
    let service = made(&["create", "--service", "--store", &store(directory.path())], &[]);
    let environment = [
        ("EDDYLINE_RATE__PERSON__PER_SECOND", "2"),
        ("EDDYLINE_RATE__PERSON__BURST", "5"),
        ("EDDYLINE_RATE__MESSAGE__PER_SECOND", "2"),
        ("EDDYLINE_RATE__MESSAGE__BURST", "5"),
        ("EDDYLINE_RATE__SOCKETS_PER_ADDRESS", "3"),
    ];
    let server = Server::start_with(directory, &environment);
    let rest = server.rest();
    for name in ["ada", "bob"] {
        rest.ask("PUT", &format!("/v1/users/{name}"), Some(&service), None).success("make known");
    }
    rest.ask("PUT", "/v1/items/i", Some(&service), Some(&json!({"text": "an item"}))).success("put an item");
    let [ada, bob] = ["ada", "bob"].map(|name| jti_of(&rest, &service, name).1);

    let answers: Vec<_> = (0..8).map(|_| rest.ask("GET", "/v1/users/ada", Some(&ada), None)).collect();
    assert_eq!(answers[0].status, 200);
    let number =
        |answer: &support::rest::Answer, name: &str| answer.header(name).map(|text| text.parse::<u32>().unwrap());
    assert_eq!(number(&answers[0], "RateLimit-Limit"), Some(5));
    assert_eq!(number(&answers[0], "RateLimit-Remaining"), Some(4));
    assert_eq!(number(&answers[0], "RateLimit-Reset"), Some(1));
    let refused = answers.iter().find(|answer| answer.status == 429).expect("a refusal");
    assert_eq!(refused.code().as_deref(), Some("rate_limited"));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!((number(refused, "Retry-After"), number(refused, "RateLimit-Remaining")), (Some(1), Some(0)));
    for (name, path, token) in [
        ("another person", "/v1/users/bob", Some(&bob)),
        ("a service", "/v1/users/ada", Some(&service)),
        ("/ready", "/ready", None),
    ] {
        assert_eq!(rest.ask("GET", path, token.map(String::as_str), None).status, 200, "{name}");
    }

    block_on(async {
        let mut hello = socket::hello("bob");
        hello.token = Some(bob.clone());
        let mut line = socket::Client::hello_with(server.address(), hello).await;
        line.draws = false;
        for number in 0..8 {
            line.send(&eddyline::protocol::client::ClientMessage::Ping(eddyline::protocol::client::Ping {
                tag: Default::default(),
                t: number,
            }))
            .await;
        }
        let is_busy = |message: &ServerMessage| matches!(message, ServerMessage::Busy(busy) if busy.retry_after_ms > 0);
        line.wait("busy", |client| client.heard.iter().any(is_busy)).await;
        // A rejected event is not learned; it is learned when it is resent after the pause.
        let act = json!({"type": "interact", "id": "e1", "item": "i", "kind": "click"}).to_string();
        line.send_text(&act).await;
        line.wait("busy for e1", |client| {
            client.heard.iter().any(|message| {
                matches!(message, ServerMessage::Busy(busy) if busy.id.as_ref().is_some_and(|id| id.as_str() == "e1"))
            })
        })
        .await;
        assert!(line.accepted().is_empty());
        line.listen(Duration::from_millis(1_200)).await;
        line.send_text(&act).await;
        assert_eq!(line.wait_accepted("e1").await, 1);
        // Sockets of one address.
        let _second = socket::open(server.address()).await;
        let _third = socket::open(server.address()).await;
        assert_eq!(upgrade_status(server.address()), 429);
        drop(line);
        let begin = Instant::now();
        while upgrade_status(server.address()) != 101 {
            assert!(begin.elapsed() < PATIENCE, "a seat that was left is free again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn no_token_of_an_erased_person_acts_for_the_next_holder_of_their_key() {
    let secret = [("EDDYLINE_SECRET", former_holder::SECRET)];
    let server = Server::start_with(TempDir::new().unwrap(), &secret);
    former_holder::check(&server);
    // After a restart, the store's data give equal results.
    let server = Server::start_with(server.kill(), &secret);
    let claims = json!({"sub": "ada", "iat": support::now_ms() / 1_000 - 60, "exp": support::now_ms() / 1_000 + 60});
    let key = jsonwebtoken::EncodingKey::from_secret(former_holder::SECRET.as_bytes());
    eddyline::gateway::hmac::install();
    let old = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    assert_eq!(server.rest().ask("GET", "/v1/users/ada", Some(&old), None).status, 401, "after a restart, too");
}

/// The procedure of docs/security.md: rotate, wait ten seconds, make a new token, retire the old key with that one.
#[test]
fn rotation_by_the_book_locks_nobody_out() {
    let directory = TempDir::new().unwrap();
    let service = made(&["create", "--service", "--store", &store(directory.path())], &[]);
    let server = Server::start(directory);
    let rest = server.rest();
    let kid_of = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let new = rest.ask("POST", "/v1/keys", Some(&service), None).success("rotate").json();
    assert_eq!(new["note"], Value::Null, "tokens are needed already");
    let begin = Instant::now();
    let old_key = format!("/v1/keys/{}", kid_of(&service));
    let refused = rest.ask("DELETE", &old_key, Some(&service), None);
    assert_eq!((refused.status, refused.code().as_deref()), (409, Some("conflict")));
    assert!(refused.body.contains("POST /v1/tokens"), "it says what to do: {}", refused.body);
    std::thread::sleep(Duration::from_secs(10).saturating_sub(begin.elapsed()));
    let body = json!({"service": true, "days": 1});
    let next = rest.ask("POST", "/v1/tokens", Some(&service), Some(&body)).success("a new token").json();
    let next = next["token"].as_str().unwrap();
    assert_eq!(json!(kid_of(next)), new["kid"], "the new key signs ten seconds after it was made");
    rest.ask("DELETE", &old_key, Some(next), None).success("retire the old key");
    assert_eq!(rest.ask("GET", "/v1/keys", Some(&service), None).status, 401);
    assert_eq!(rest.ask("GET", "/v1/keys", Some(next), None).status, 200);
}

#[test]
fn keys_in_use_are_bounded() {
    let directory = TempDir::new().unwrap();
    let service = made(&["create", "--service", "--store", &store(directory.path())], &[]);
    let server = Server::start(directory);
    let rest = server.rest();
    let rotate = || rest.ask("POST", "/v1/keys", Some(&service), None);
    let made: Vec<_> = std::iter::repeat_with(rotate).take_while(|answer| answer.status == 201).take(200).collect();
    assert_eq!(made.len() + 1, KEYS_MAX);
    let refused = rotate();
    assert_eq!((refused.status, refused.code().as_deref()), (409, Some("conflict")));
    assert!(refused.body.contains("DELETE /v1/keys"), "it says what to do: {}", refused.body);
    let kid = made[0].json()["kid"].as_str().unwrap().to_owned();
    rest.ask("DELETE", &format!("/v1/keys/{kid}"), Some(&service), None).success("retire one");
    assert_eq!(rotate().status, 201);
}

#[test]
fn a_first_key_says_what_the_next_start_asks_for_and_so_does_that_start() {
    let directory = TempDir::new().unwrap();
    let server = Server::start(directory);
    let made = server.rest().ask("POST", "/v1/keys", None, None).success("a first key").json();
    let note = made["note"].as_str().expect("a note");
    assert!(note.contains("next start") && note.contains("token create --service"), "{note}");
    assert!(server.log().contains("from its next start on this server answers 401"), "{}", server.log());
    assert_eq!(server.rest().get("/v1/users").status, 200, "this one goes on as it began");
    let server = Server::start(server.kill());
    assert_eq!(server.rest().get("/v1/users").status, 401);
    assert!(server.log().contains("no valid token exists"), "{}", server.log());
    let directory = server.kill();
    let service = self::made(&["create", "--service", "--store", &store(directory.path())], &[]);
    std::fs::remove_file(directory.path().join("server.log")).unwrap();
    let server = Server::start(directory);
    assert_eq!(server.rest().ask("GET", "/v1/users", Some(&service), None).status, 200);
    assert!(!server.log().contains("no valid token exists"), "{}", server.log());
    // On a store without a running server.
    let directory = TempDir::new().unwrap();
    let (status, kid, said) = token(&["rotate", "--store", &store(directory.path())], &[]);
    assert!(status == Some(0) && kid.starts_with("key-") && said.contains("next start"), "{kid} {said}");
}

fn upgrade_status(address: SocketAddr) -> u16 {
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: eddyline.v1\r\n\r\n"
    );
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    String::from_utf8_lossy(&head)[9..].parse().unwrap()
}

/// A server with a certificate; killed when dropped.
struct Secure {
    child: Child,
    address: SocketAddr,
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn certificate(directory: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

fn secure(directory: &Path) -> Secure {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut child = Command::new(crate::support::program())
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &store(directory)])
        .envs([("EDDYLINE_TLS_CERT", file("cert.pem")), ("EDDYLINE_TLS_KEY", file("key.pem"))])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on https://").expect("https").parse().unwrap();
    Secure { child, address }
}

/// A socket over TLS that trusts this certificate only.
async fn secure_socket(
    address: SocketAddr,
    trusted: &str,
) -> Result<tokio_tungstenite::WebSocketStream<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>, std::io::Error>
{
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector =
        tokio_rustls::TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let stream = tokio::net::TcpStream::connect(address).await?;
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    let mut request = format!("wss://localhost:{}/ws", address.port()).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "eddyline.v1".parse().unwrap());
    request.headers_mut().insert("Origin", format!("https://localhost:{}", address.port()).parse().unwrap());
    Ok(tokio_tungstenite::client_async(request, stream).await.map_err(std::io::Error::other)?.0)
}

#[test]
fn sockets_work_over_tls_and_the_certificate_changes_on_a_hang_up() {
    let directory = TempDir::new().unwrap();
    let first = certificate(directory.path());
    let token = made(&["create", "--service", "--store", &store(directory.path())], &[]);
    let server = secure(directory.path());
    block_on(async {
        let hello = json!({"type": "hello", "user": "ada", "token": token}).to_string();
        let mut line = secure_socket(server.address, &first).await.expect("a socket over TLS");
        line.send(Message::text(hello.clone())).await.unwrap();
        let answer = line.next().await.unwrap().unwrap();
        assert!(answer.to_text().unwrap().contains("unknown_user"), "the token is good: {answer}");

        let second = certificate(directory.path());
        // No effect yet: the files are read at the start and on SIGHUP.
        assert!(secure_socket(server.address, &second).await.is_err());
        let hang_up = Command::new("kill").args(["-HUP", &server.child.id().to_string()]).status().unwrap();
        assert!(hang_up.success());
        let begin = Instant::now();
        while secure_socket(server.address, &second).await.is_err() {
            assert!(begin.elapsed() < PATIENCE, "the new certificate never came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(secure_socket(server.address, &first).await.is_err(), "the old one is gone");
        // The open connection stays usable.
        line.send(Message::text(hello)).await.unwrap();
        assert!(line.next().await.unwrap().unwrap().to_text().unwrap().contains("unknown_user"));
        // Files that do not match are ignored.
        std::fs::write(directory.path().join("key.pem"), "half a key").unwrap();
        Command::new("kill").args(["-HUP", &server.child.id().to_string()]).status().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(secure_socket(server.address, &second).await.is_ok());
    });
}

#[test]
fn a_certificate_that_cannot_be_read_is_named() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing.pem").display().to_string();
    let output = Command::new(crate::support::program())
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &store(directory.path())])
        .envs([("EDDYLINE_TLS_CERT", &missing), ("EDDYLINE_TLS_KEY", &missing)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("tls_cert") && said.contains("missing.pem"), "{said}");
}
