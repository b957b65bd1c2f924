//! `docs/protocol.md` agrees with the code: it contains every type, field, code and kind, and its examples parse.
//!
//! Invariant: every example of the document works. A line of a conversation starts with `→` (client to server) or `←`;
//! a fenced example is marked `json client`, `json server` or `json rest`.

use crate::examples;

use std::collections::{BTreeMap, BTreeSet};

use eddyline::domain::feeds::{Expert, Ranking};
use eddyline::domain::interactions::Act;
use eddyline::protocol::client::ClientMessage;
use eddyline::protocol::problem::Code;
use eddyline::protocol::server::ServerMessage;
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    ByClient,
    ByServer,
    OverRest,
}

struct Example {
    said: Said,
    line: usize,
    text: String,
}

fn examples() -> Vec<Example> {
    let mut found = Vec::new();
    let mut fence: Option<String> = None;
    for (number, line) in (1..).zip(DOCUMENT.lines()) {
        if let Some(info) = line.strip_prefix("```") {
            if fence.take().is_none() {
                fence = Some(info.to_owned());
                let said = match info {
                    "json client" => Some(Said::ByClient),
                    "json server" => Some(Said::ByServer),
                    "json rest" => Some(Said::OverRest),
                    "text" => None,
                    other => panic!("line {number}: a block is marked {other:?}, which this test does not know"),
                };
                found.extend(said.map(|said| Example { said, line: number, text: String::new() }));
            }
            continue;
        }
        match fence.as_deref() {
            Some("text") => {
                let (said, text) = match line.split_once(' ') {
                    Some(("→", text)) => (Said::ByClient, text),
                    Some(("←", text)) => (Said::ByServer, text),
                    _ => panic!("line {number}: a conversation has lines with → or ← only"),
                };
                found.push(Example { said, line: number, text: text.to_owned() });
            }
            Some(_) => {
                let example = found.last_mut().unwrap();
                example.text.push_str(line);
                example.text.push('\n');
            }
            None => {}
        }
    }
    assert!(fence.is_none(), "a block is not closed");
    found
}

/// Text below a heading, up to the next heading of an equal or a higher level.
fn section(level: &str, name: &str) -> String {
    section_of(DOCUMENT, level, name)
}

fn section_of(document: &str, level: &str, name: &str) -> String {
    let heading = format!("{level} {name}");
    let mut lines = document.lines().skip_while(|line| *line != heading);
    lines.next().unwrap_or_else(|| panic!("docs/protocol.md has no heading {heading:?}"));
    let ends = |line: &str| {
        let hashes = line.bytes().take_while(|byte| *byte == b'#').count();
        hashes > 0 && hashes <= level.len() && line.as_bytes().get(hashes) == Some(&b' ')
    };
    lines.take_while(|line| !ends(line)).collect::<Vec<_>>().join("\n")
}

/// Words in backticks outside of examples.
fn words(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// Each type's full example as JSON, by the section of the document: both sides may use one name.
fn full() -> BTreeMap<(&'static str, &'static str), Value> {
    let clients = examples::clients()
        .into_iter()
        .map(|message| (("Client messages", examples::client_type(&message)), serde_json::to_value(&message).unwrap()));
    let servers = examples::servers()
        .into_iter()
        .map(|message| (("Server messages", examples::server_type(&message)), serde_json::to_value(&message).unwrap()));
    clients.chain(servers).collect()
}

#[test]
fn every_message_has_its_section_with_all_its_fields_and_no_others() {
    for ((part, name), value) in full() {
        let section = section_of(&section("##", part), "###", &format!("`{name}`"));
        let words = words(&section);
        for field in value.as_object().unwrap().keys().filter(|field| *field != "type") {
            assert!(words.contains(field), "docs/protocol.md, `{name}`: the field `{field}` is not mentioned");
        }
        // Conversely, a first column names only fields that exist.
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            let first = row.split('|').nth(1).unwrap();
            for field in first.split('`').skip(1).step_by(2) {
                assert!(value.get(field).is_some(), "docs/protocol.md, `{name}`: there is no field `{field}`");
            }
        }
        let direction = if part == "Client messages" { "Client → server." } else { "Server → client." };
        assert!(section.trim_start().starts_with(direction), "docs/protocol.md, `{name}`: start with {direction:?}");
    }
}

#[test]
fn fields_within_fields_are_mentioned() {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, inner) in fields {
                    found.insert(name.clone());
                    // Keys of a map are topics, not fields.
                    if name != "topics" {
                        collect(inner, found);
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|inner| collect(inner, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    full().values().for_each(|value| collect(value, &mut found));
    collect(&serde_json::to_value(examples::causes()).unwrap(), &mut found);
    let words = words(DOCUMENT);
    for field in found {
        assert!(words.contains(&field), "docs/protocol.md: the field `{field}` is not mentioned");
    }
}

#[test]
fn only_messages_have_a_section_under_messages() {
    for (part, types) in
        [("Client messages", &ClientMessage::TYPES[..]), ("Server messages", &ServerMessage::TYPES[..])]
    {
        let section = section("##", part);
        let headings = section.lines().filter_map(|line| line.strip_prefix("### "));
        let headings: Vec<_> = headings.map(|heading| heading.trim_matches('`')).collect();
        assert_eq!(headings, types, "docs/protocol.md, {part}: in the order of the enum");
    }
}

#[test]
fn every_code_has_a_row_and_every_row_its_code() {
    let section = section("##", "Error codes");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: Vec<_> = rows.map(|(code, _)| code).collect();
    assert_eq!(rows, Code::ALL.map(Code::name), "docs/protocol.md, Error codes: in the order of the enum");
}

#[test]
fn closed_lists_of_words_are_complete() {
    let interact = words(&section("###", "`interact`"));
    for kind in Act::NAMES {
        assert!(interact.contains(kind), "docs/protocol.md, `interact`: kind `{kind}`");
    }
    let hello = words(&section("###", "`hello`"));
    for ranking in Ranking::ALL {
        assert!(hello.contains(ranking.name()), "docs/protocol.md, `hello`: ranking `{}`", ranking.name());
    }
    let items = words(&section("###", "Items"));
    for expert in Expert::ALL {
        assert!(items.contains(expert.name()), "docs/protocol.md, Items: expert `{}`", expert.name());
    }
    let causes = words(&section("###", "Causes"));
    for cause in serde_json::to_value(examples::causes()).unwrap().as_array().unwrap() {
        assert!(causes.contains(cause["kind"].as_str().unwrap()), "docs/protocol.md, Causes: {cause}");
    }
    let steps = words(&section("###", "Steps"));
    for op in full()[&("Server messages", "patch")]["ops"].as_array().unwrap() {
        assert!(steps.contains(op["op"].as_str().unwrap()), "docs/protocol.md, Steps: {op}");
    }
}

#[test]
fn every_example_parses() {
    let mut shown = BTreeSet::new();
    for Example { said, line, text } in examples() {
        match said {
            Said::ByClient => match ClientMessage::parse(&text) {
                Ok(message) => drop(shown.insert((said, examples::client_type(&message)))),
                Err(bad) => panic!("docs/protocol.md, line {line}: {}", bad.message),
            },
            Said::ByServer => match serde_json::from_str::<ServerMessage>(&text) {
                Ok(message) => {
                    shown.insert((said, examples::server_type(&message)));
                    // Parsing is lenient, but an example must not have a field that the server never writes.
                    let given: Value = serde_json::from_str(&text).unwrap();
                    // By way of text: a score is written as the shortest f32, which a `Value` would widen.
                    let written: Value = serde_json::from_str(&serde_json::to_string(&message).unwrap()).unwrap();
                    assert_eq!(given, written, "docs/protocol.md, line {line}: not as the server writes it");
                }
                Err(error) => panic!("docs/protocol.md, line {line}: {error}"),
            },
            Said::OverRest => {
                serde_json::from_str::<Value>(&text)
                    .unwrap_or_else(|error| panic!("docs/protocol.md, line {line}: {error}"));
            }
        }
    }
    for name in ClientMessage::TYPES {
        assert!(shown.contains(&(Said::ByClient, name)), "docs/protocol.md: no example of `{name}`");
    }
    for name in ServerMessage::TYPES {
        assert!(shown.contains(&(Said::ByServer, name)), "docs/protocol.md: no example of `{name}`");
    }
}

/// Conversations are consistent: versions rise, and `accepted` and `error` answer earlier messages.
#[test]
fn conversations_make_sense() {
    let conversations = section("##", "Conversations");
    let sent: BTreeSet<String> = examples()
        .iter()
        .filter(|example| example.said == Said::ByClient)
        .filter_map(|example| serde_json::from_str::<Value>(&example.text).ok()?.get("id")?.as_str().map(str::to_owned))
        .collect();
    for block in conversations.split("```text\n").skip(1) {
        let mut version = 0;
        for line in block.lines().take_while(|line| !line.starts_with("```")) {
            let Some(text) = line.strip_prefix("← ") else { continue };
            let value: Value = serde_json::from_str(text).unwrap();
            if matches!(value["type"].as_str(), Some("feed" | "patch")) {
                let new = value["version"].as_u64().unwrap();
                assert!(new > version, "docs/protocol.md: version {new} after {version} in {text}");
                version = new;
            }
            if let Some(id) = value.get("id").and_then(Value::as_str) {
                assert!(sent.contains(id), "docs/protocol.md: nobody sent {id}");
            }
        }
    }
}
