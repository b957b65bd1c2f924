//! Two processes on one Postgres: one server replaces another, which ends. The command line manages keys and tokens
//! next to a running server, which picks up the changes.

use crate::support;

use crate::former_holder;
use crate::postgres;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use eddyline::domain::interactions::Kind;
use eddyline::protocol::server::ServerMessage;
use tempfile::TempDir;

use postgres::{Cluster, shared};
use support::socket::{self, Client};
use support::{PATIENCE, Server, block_on};

fn signal(server: &Server, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", server.process())]).status().unwrap();
    assert!(sent.success());
}

/// Pauses a server, and returns once each of its threads has stopped: the kernel stops one of them at the signal, and
/// the others may run on for a moment on a busy machine.
fn pause(server: &Server) {
    signal(server, "STOP");
    let begin = Instant::now();
    let stopped = || {
        let threads = fs::read_dir(format!("/proc/{}/task", server.process())).unwrap();
        threads.flatten().all(|thread| {
            let status = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state follows the command's name, which stands in parentheses.
            status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        })
    };
    while !stopped() {
        assert!(begin.elapsed() < PATIENCE, "the server does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends the session that holds the writer's lock, like a network that drops a connection.
fn end_writer(cluster: &Cluster, database: &str) {
    let held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(cluster.sql(database, held), ["t"]);
}

/// The first server hangs (a paused machine) while its session is lost, and a second one takes over. When the first
/// wakes up it stores and acknowledges nothing, and ends. It reports the new writer, and exits with a failure, so that
/// a supervisor notices.
#[test]
fn a_server_that_was_replaced_ends_and_says_by_whom() {
    if postgres::skipped() {
        println!("skipped: EDDYLINE_TEST_POSTGRES=skip");
        return;
    }
    for acts in [true, false] {
        let database = shared().database();
        let url = shared().url(&database);
        let mut first = Server::start_on(TempDir::new().unwrap(), url.clone());
        first.people(&["ada"]);
        first.items(3);
        let second = block_on(async {
            let mut ada = Client::hello(first.address(), "ada").await;
            let id = ada.interact("item-1", Kind::Like).await;
            ada.wait_accepted(&id).await;
            pause(&first);
            if acts {
                // Waits in the socket of a process that does not run.
                ada.interact_as("too-late", "item-2", Kind::Like).await;
            }
            end_writer(shared(), &database);
            let second = Server::start_on(TempDir::new().unwrap(), url.clone());
            signal(&first, "CONT");
            while ada.next_message(PATIENCE).await.is_some() {}
            assert!(!ada.accepted().contains_key("too-late"), "what cannot be stored is not accepted");
            second
        });
        assert_eq!(first.exit_code(), Some(1));
        let log = first.log();
        let last = log.lines().last().unwrap_or_default();
        assert!(last.starts_with("eddyline: another server took the database over"), "its last words: {last}");
        assert!(last.contains(&format!("process {}", second.process())), "by whom: {last}");
        assert!(last.contains("Stop one of the two"), "what to do: {last}");
        block_on(async {
            let mut ada = Client::hello(second.address(), "ada").await;
            let id = ada.interact("item-2", Kind::Like).await;
            assert_eq!(ada.wait_accepted(&id).await, 2, "the second one goes on where the first one was acknowledged");
        });
        assert_eq!(shared().sql(&database, "SELECT COUNT(*) FROM journal"), ["2"]);
    }
}

fn token(url: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(crate::support::program());
    let output = command.arg("token").args(arguments).env("EDDYLINE_STORE", url).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output.stderr));
    said(&output.stdout)
}

/// Waits until a request with this token has this status. The limit is two seconds; a busy machine takes longer.
fn until_status(server: &Server, token: &str, status: u16) -> Duration {
    let begin = Instant::now();
    while server.rest().ask("GET", "/v1/users/ada", Some(token), None).status != status {
        assert!(begin.elapsed() < PATIENCE, "never {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
    begin.elapsed()
}

#[test]
fn no_token_of_an_erased_person_acts_for_the_next_holder_of_their_key() {
    if postgres::skipped() {
        println!("skipped: EDDYLINE_TEST_POSTGRES=skip");
        return;
    }
    let url = shared().url(&shared().database());
    let secret = [("EDDYLINE_SECRET", former_holder::SECRET)];
    former_holder::check(&Server::start_on_with(TempDir::new().unwrap(), url, &secret));
}

#[test]
fn keys_and_tokens_that_another_process_changes_count_on_a_running_server() {
    if postgres::skipped() {
        println!("skipped: EDDYLINE_TEST_POSTGRES=skip");
        return;
    }
    let url = shared().url(&shared().database());
    let service = token(&url, &["create", "--service"]);
    let server = Server::start_on(TempDir::new().unwrap(), url.clone());
    server.rest().ask("PUT", "/v1/users/ada", Some(&service), None).success("make ada known");

    // Next to the writing server: created, listed, revoked.
    let (lost, kept) = (token(&url, &["create", "--user", "ada"]), token(&url, &["create", "--user", "ada"]));
    until_status(&server, &lost, 200);
    until_status(&server, &kept, 200);
    let jti = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(&lost).unwrap().claims["jti"].clone();
    let jti = jti.as_str().unwrap().to_owned();
    assert!(token(&url, &["list"]).contains(&jti));

    block_on(async {
        let mut hello = socket::hello("ada");
        hello.token = Some(lost.clone());
        let mut revoked = Client::hello_with(server.address(), hello.clone()).await;
        hello.token = Some(kept.clone());
        let mut stays = Client::hello_with(server.address(), hello).await;
        token(&url, &["revoke", &jti]);
        let took = until_status(&server, &lost, 401);
        let is_bye = |message: &ServerMessage| matches!(message, ServerMessage::Bye(bye) if bye.reason == "revoked");
        revoked.wait("bye with `revoked`", |client| client.heard.iter().any(is_bye)).await;
        println!("refused after {took:?}");
        stays.listen(Duration::from_millis(200)).await;
        assert!(!stays.heard.iter().any(is_bye), "another token of the same person");
    });

    // Another process's key verifies tokens soon, and no longer once it is retired there.
    let old = jsonwebtoken::decode_header(&kept).unwrap().kid.unwrap();
    let new = token(&url, &["rotate"]);
    assert_ne!(old, new);
    token(&url, &["retire", &old]);
    until_status(&server, &kept, 401);
    // The server learned of these changes while it kept the writer's lock.
    assert_eq!(server.rest().get("/ready").status, 200);
}
