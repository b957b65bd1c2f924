//! The messages of the socket as an AsyncAPI 3.0 document.
//!
//! Invariant: each message of the closed enums has its schema from its definition. `docs/protocol.md` says when each is
//! sent.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::protocol::client::ClientMessage;
use crate::protocol::server::ServerMessage;
use crate::protocol::{FRAME_BYTES_MAX, SUBPROTOCOL};

/// The AsyncAPI document with one message per `type` and side.
pub(super) fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut written = settings.clone().for_serialize().into_generator();
    let mut read = settings.into_generator();
    read.subschema_for::<ClientMessage>();
    written.subschema_for::<ServerMessage>();
    let (mut schemas, mut messages) = (Map::new(), Map::new());
    let (from_client, from_server) = (definitions(&mut read), definitions(&mut written));
    // A name that both sides give to different schemas stands for the server's; the client's has a prefix.
    let clashing: Vec<String> = from_client
        .iter()
        .filter(|(name, schema)| from_server.get(*name).is_some_and(|other| other != *schema))
        .map(|(name, _)| name.clone())
        .collect();
    for (name, schema) in from_client {
        let name = if clashing.contains(&name) { format!("Client{name}") } else { name };
        schemas.insert(name, renamed(schema, &clashing));
    }
    schemas.extend(from_server);
    let mut of_side = |side: &str, types: &[&str], all: &str| -> Vec<Value> {
        let variants = schemas.get(all).and_then(|schema| schema["oneOf"].as_array()).cloned().unwrap_or_default();
        types
            .iter()
            .zip(variants)
            .map(|(name, schema)| {
                let id = format!("{side}_{name}");
                let about = schema.get("description").cloned().unwrap_or_default();
                let schema = with_fields(schema, &schemas);
                messages.insert(
                    id.clone(),
                    json!({"name": name, "summary": about, "contentType": "application/json", "payload": schema}),
                );
                json!({"$ref": format!("#/channels/socket/messages/{id}")})
            })
            .collect()
    };
    let sent_by_client = of_side("client", &ClientMessage::TYPES, "ClientMessage");
    let sent_by_server = of_side("server", &ServerMessage::TYPES, "ServerMessage");
    let in_channel: Map<String, Value> =
        messages.keys().map(|id| (id.clone(), json!({"$ref": format!("#/components/messages/{id}")}))).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Eddyline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!(
                "Messages of the WebSocket `/ws`, subprotocol `{SUBPROTOCOL}`. A text message holds one JSON object of at \
                 most {FRAME_BYTES_MAX} bytes."
            ),
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {"socket": {
            "address": "/ws",
            "messages": in_channel,
            "bindings": {"ws": {"method": "GET"}},
        }},
        "operations": {
            "receive": {"action": "receive", "channel": {"$ref": "#/channels/socket"}, "messages": sent_by_client},
            "send": {"action": "send", "channel": {"$ref": "#/channels/socket"}, "messages": sent_by_server},
        },
        "components": {"messages": messages, "schemas": schemas},
    })
}

/// A variant with the fields of the definition that it refers to: its `type` stands beside them.
fn with_fields(variant: Value, schemas: &Map<String, Value>) -> Value {
    let target = variant["$ref"].as_str().and_then(|path| schemas.get(path.rsplit('/').next()?)).cloned();
    let Some(Value::Object(mut whole)) = target else { return variant };
    for part in ["properties", "required"] {
        match (&variant[part], whole.get_mut(part)) {
            (Value::Object(own), Some(Value::Object(all))) => all.extend(own.clone()),
            (Value::Array(own), Some(Value::Array(all))) => all.extend(own.iter().cloned()),
            (own, None) if !own.is_null() => drop(whole.insert(part.into(), own.clone())),
            _ => {}
        }
    }
    whole.insert("description".into(), variant["description"].clone());
    Value::Object(whole)
}

fn definitions(generator: &mut SchemaGenerator) -> Map<String, Value> {
    generator.take_definitions(true)
}

/// The schema with a prefix at references to these names.
fn renamed(schema: Value, names: &[String]) -> Value {
    match schema {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let target = value.as_str().filter(|_| name == "$ref").and_then(|text| text.rsplit('/').next());
                match target.filter(|target| names.iter().any(|one| one == target)) {
                    Some(target) => (name, json!(format!("#/components/schemas/Client{target}"))),
                    None => (name, renamed(value, names)),
                }
            })
            .collect(),
        Value::Array(all) => all.into_iter().map(|one| renamed(one, names)).collect(),
        other => other,
    }
}
