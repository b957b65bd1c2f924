//! Golden files protect the wire format from accidental changes.
//!
//! Invariant: `tests/golden/` holds one file per type of message, nothing else. For an intended change, run
//! `BLESS_GOLDEN=1 cargo test --test engine wire_golden` and have the difference reviewed.

use crate::examples;

use std::collections::BTreeMap;
use std::path::PathBuf;

use eddyline::protocol::client::ClientMessage;
use eddyline::protocol::server::ServerMessage;
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn all() -> BTreeMap<String, Value> {
    let clients = examples::clients().into_iter().map(|message| {
        (format!("client_{}.json", examples::client_type(&message)), serde_json::to_value(&message).unwrap())
    });
    let servers = examples::servers().into_iter().map(|message| {
        (format!("server_{}.json", examples::server_type(&message)), serde_json::to_value(&message).unwrap())
    });
    let causes = serde_json::to_value(examples::causes()).unwrap();
    clients.chain(servers).chain([("causes.json".to_owned(), causes)]).collect()
}

#[test]
fn the_wire_is_as_it_was() {
    if std::env::var_os("BLESS_GOLDEN").is_some() {
        for (name, value) in all() {
            std::fs::write(folder().join(name), serde_json::to_string_pretty(&value).unwrap() + "\n").unwrap();
        }
    }
    for (name, value) in all() {
        let text = std::fs::read_to_string(folder().join(&name))
            .unwrap_or_else(|error| panic!("tests/golden/{name}: {error}; run with BLESS_GOLDEN=1 to write it"));
        let golden: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, golden, "{name}: on purpose? then run with BLESS_GOLDEN=1");
    }
}

#[test]
fn every_golden_file_belongs_to_a_message() {
    let all = all();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(all.contains_key(&name), "tests/golden/{name} belongs to no message: remove it");
    }
}

#[test]
fn every_type_has_an_example_and_every_example_its_type() {
    let clients: Vec<_> = examples::clients().iter().map(examples::client_type).collect();
    assert_eq!(clients, ClientMessage::TYPES);
    let servers: Vec<_> = examples::servers().iter().map(examples::server_type).collect();
    assert_eq!(servers, ServerMessage::TYPES);
    for (name, value) in all() {
        if let Some((_, rest)) = name.split_once('_') {
            assert_eq!(value["type"], rest.trim_end_matches(".json"), "{name}");
        }
    }
}

#[test]
fn what_was_written_is_read_back() {
    for message in examples::clients() {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(ClientMessage::parse(&text), Ok(message));
    }
    for message in examples::servers() {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<ServerMessage>(&text).unwrap(), message);
    }
}

/// Servers reject unknown fields of newer clients; older clients accept unknown fields of newer servers.
#[test]
fn a_client_message_with_one_field_more_is_refused_by_its_name() {
    for message in examples::clients() {
        let mut value = serde_json::to_value(&message).unwrap();
        value["surplus"] = true.into();
        let bad = ClientMessage::parse(&value.to_string()).expect_err("a surplus field");
        assert_eq!(bad.field.as_deref(), Some("surplus"), "{}", examples::client_type(&message));
    }
}

/// A message without one of its fields is either valid, or rejected by that field's name.
#[test]
fn a_client_message_with_one_field_less_is_fine_or_refused_by_its_name() {
    for message in examples::clients() {
        let full = serde_json::to_value(&message).unwrap();
        for field in full.as_object().unwrap().keys() {
            let mut less = full.clone();
            less.as_object_mut().unwrap().remove(field);
            if let Err(bad) = ClientMessage::parse(&less.to_string()) {
                assert_eq!(bad.field.as_ref(), Some(field), "{}", examples::client_type(&message));
            }
        }
    }
}
