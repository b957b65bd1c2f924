//! `eddyline token …`: keys and tokens, in a Postgres store, in an embedded one that no server has open, or through a
//! running server.
//!
//! Invariant: the result alone is on standard output, so that `TOKEN=$(eddyline token create …)` works; a token is said
//! once and kept nowhere. Absent on purpose: reading a secret or a token back.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::remote::Remote;
use crate::app;
use crate::config::{Config, StoreUrl};
use crate::domain::ids::Key;
use crate::domain::time::{DAY_MS, Millis};
use crate::gateway::access::{Access, FIRST_KEY, KeyInfo};
use crate::gateway::keyring::KeyRing;
use crate::gateway::rest::list::LIST_MAX;
use crate::gateway::timestamps;
use crate::process::say;
use crate::store::StoreError;
use crate::store::access::{Holder, TokenRecord};

/// A server that has not answered by then is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Make a token for a person, or for a service.
    Create {
        /// `None`: a service.
        person: Option<Key>,
        /// Until it expires.
        days: i64,
    },
    /// Refuse a token.
    Revoke {
        /// Its id.
        jti: Key,
        /// For one that was made elsewhere.
        expires: Option<Millis>,
    },
    /// Show tokens.
    List,
    /// Make a key.
    Rotate,
    /// Take a key out of use.
    Retire(Key),
    /// Show keys.
    Keys,
}

/// Does it in the configured store; the answer for standard output.
///
/// # Errors
/// What the store says, above all that a server has it open.
pub async fn in_store(config: &Config, task: Task, now: Millis) -> anyhow::Result<String> {
    if let Task::Create { person, days } = &task
        && config.secret.is_some()
        && !exists(&config.store)
    {
        // Whoever only has the secret needs no store, and wants none made.
        return with_secret(config, person.as_ref(), *days, now);
    }
    let store = match app::open_access(config).await {
        Ok(store) => store,
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::Locked(_))) => match &task {
            Task::Create { person, days } if config.secret.is_some() => {
                return with_secret(config, person.as_ref(), *days, now);
            }
            _ => bail!("{error:#}, or ask the server that has it: --url, with a service token in EDDYLINE_TOKEN"),
        },
        Err(error) => return Err(error),
    };
    let access = Access::open(store, config.secret.clone(), now).await?;
    Ok(match task {
        Task::Create { person, days } => {
            if !access.has_signer() {
                let key = access.rotate(now).await?;
                say(format_args!("made the first key, {}: servers that start from now on want tokens", key.kid));
            }
            access.create(person, days, now).await?.token.expose_secret().to_owned()
        }
        Task::Revoke { jti, expires } => {
            access.revoke(jti, expires, now).await?;
            String::new()
        }
        Task::List => {
            let mut lines = TOKENS_HEAD.to_owned();
            let mut after = String::new();
            loop {
                let page = access.tokens(after, LIST_MAX, now).await?;
                page.iter().for_each(|record| token_line(&mut lines, record));
                match page.last() {
                    Some(last) if page.len() == LIST_MAX as usize => after = last.jti.as_str().to_owned(),
                    _ => break,
                }
            }
            lines
        }
        Task::Rotate => {
            let key = access.rotate(now).await?;
            if access.is_dev() {
                say(format_args!("made the first key: {FIRST_KEY}"));
            }
            key.kid.as_str().to_owned()
        }
        Task::Retire(kid) => {
            access.retire(kid, None, now).await?;
            String::new()
        }
        Task::Keys => {
            let mut lines = KEYS_HEAD.to_owned();
            access.keys(now).await?.iter().for_each(|key| key_line(&mut lines, key));
            lines
        }
    })
}

fn exists(store: &StoreUrl) -> bool {
    match store {
        StoreUrl::File(directory) => directory.exists(),
        StoreUrl::Postgres(_) => true,
    }
}

/// Signs with the configured secret alone; nothing is kept.
fn with_secret(config: &Config, person: Option<&Key>, days: i64, now: Millis) -> anyhow::Result<String> {
    let ring = KeyRing::new(&[], config.secret.as_ref(), [])?;
    let jti = crate::gateway::access::random_key("");
    let (token, _) = ring.sign(&jti, person, now.plus(days.saturating_mul(DAY_MS)), now)?;
    say(format_args!("signed with the configured secret and not listed: its id is {jti}"));
    Ok(token)
}

const TOKENS_HEAD: &str = "jti\tkid\tfor\texpires\trevoked\n";
const KEYS_HEAD: &str = "kid\tcreated\tstate\n";

fn token_line(lines: &mut String, record: &TokenRecord) {
    let TokenRecord { jti, kid, holder, expires, revoked, .. } = record;
    let holder = match holder {
        Holder::Person(key) => format!("user {key}"),
        Holder::Service => "service".into(),
        Holder::Elsewhere => "made elsewhere".into(),
    };
    let kid = kid.as_ref().map_or("-", Key::as_str);
    let (expires, revoked) = (timestamps::text(*expires), revoked.map_or_else(|| "-".into(), timestamps::text));
    // Writing to a `String` cannot fail.
    let _ = writeln!(lines, "{jti}\t{kid}\t{holder}\t{expires}\t{revoked}");
}

fn key_line(lines: &mut String, key: &KeyInfo) {
    let KeyInfo { kid, created, retired, signs, .. } = key;
    let state = match (retired, signs) {
        (Some(at), _) => format!("retired {}", timestamps::text(*at)),
        (None, true) => "signs and checks".into(),
        (None, false) => "checks".into(),
    };
    let created = created.map_or_else(|| "-".into(), timestamps::text);
    let _ = writeln!(lines, "{kid}\t{created}\t{state}");
}

/// Asks a running server; the answer for standard output.
///
/// # Errors
/// That there is no token, or what the server said.
pub fn over_http(url: &str, task: &Task) -> anyhow::Result<String> {
    let server = Remote::new(url, PATIENCE);
    Ok(match task {
        Task::Create { person, days } => {
            let wanted = match person {
                Some(person) => json!({"user": person, "days": days}),
                None => json!({"service": true, "days": days}),
            };
            let made = server.ask("POST", "/v1/tokens", Some(("application/json", wanted.to_string().into_bytes())))?;
            made["token"].as_str().context("the server answered without a token")?.to_owned()
        }
        Task::Revoke { jti, expires } => {
            let query = expires.map(|at| format!("?expires={}", at.0)).unwrap_or_default();
            server.ask("DELETE", &format!("/v1/tokens/{}{query}", encoded(jti)), None)?;
            String::new()
        }
        Task::List => {
            let mut lines = TOKENS_HEAD.to_owned();
            let mut after = String::new();
            loop {
                let page = server.ask("GET", &format!("/v1/tokens?limit={LIST_MAX}{after}"), None)?;
                for row in page["tokens"].as_array().into_iter().flatten() {
                    token_line(&mut lines, &record(row).context("the server listed a token in another form")?);
                }
                let Some(next) = page["next"].as_str() else { break };
                after = format!("&after={}", utf8_percent_encode(next, NON_ALPHANUMERIC));
            }
            lines
        }
        Task::Rotate => {
            let made = server.ask("POST", "/v1/keys", None)?;
            if let Some(note) = made["note"].as_str() {
                say(format_args!("made the first key: {note}"));
            }
            made["kid"].as_str().context("the server answered without a kid")?.to_owned()
        }
        Task::Retire(kid) => {
            server.ask("DELETE", &format!("/v1/keys/{}", encoded(kid)), None)?;
            String::new()
        }
        Task::Keys => {
            let found = server.ask("GET", "/v1/keys", None)?;
            let mut lines = KEYS_HEAD.to_owned();
            for row in found["keys"].as_array().into_iter().flatten() {
                key_line(&mut lines, &face(row).context("the server listed a key in another form")?);
            }
            lines
        }
    })
}

fn encoded(key: &Key) -> String {
    utf8_percent_encode(key.as_str(), NON_ALPHANUMERIC).to_string()
}

fn record(row: &Value) -> Option<TokenRecord> {
    let key = |name: &str| Key::new(row[name].as_str()?).ok();
    Some(TokenRecord {
        jti: key("jti")?,
        kid: key("kid"),
        holder: Holder::from_columns(row["role"].as_str()?, row["user"].as_str())?,
        created: Millis(row["created"].as_i64()?),
        expires: Millis(row["expires"].as_i64()?),
        revoked: row["revoked"].as_i64().map(Millis),
    })
}

fn face(row: &Value) -> Option<KeyInfo> {
    Some(KeyInfo {
        kid: Key::new(row["kid"].as_str()?).ok()?,
        created: row["created"].as_i64().map(Millis),
        retired: row["retired"].as_i64().map(Millis),
        signs: row["signs"].as_bool()?,
        signs_from: row["signs_from"].as_i64().map(Millis),
    })
}
