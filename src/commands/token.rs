//! `eddyline token …`: keys and tokens, in a Postgres store, in an embedded one that no server has open, or through a
//! running server.
//!
//! Invariant: standard output holds the result alone, so that `TOKEN=$(eddyline token create …)` works. A token is printed
//! once and stored nowhere. Absent on purpose: reading a secret or a token back.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::args::{AccessArgs, rfc3339};
use super::block_on;
use super::output::print;
use super::remote::{Remote, encoded};
use crate::actors::clock::{Clock, WallClock};
use crate::app;
use crate::config::{Config, StoreUrl};
use crate::domain::ids::Key;
use crate::domain::time::{DAY_MS, Millis};
use crate::gateway::access::{Access, DAYS_DEFAULT, DAYS_MAX, FIRST_KEY, KeyInfo};
use crate::gateway::keyring::KeyRing;
use crate::gateway::rest::list::LIST_MAX;
use crate::gateway::timestamps;
use crate::process::say;
use crate::store::StoreError;
use crate::store::access::{Holder, TokenRecord};

/// Longest wait for an answer of the server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Manage keys, and tokens for clients.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print a new token, and nothing else, on standard output.
    Create(CreateArgs),
    /// Revoke a token: the server refuses it from now on.
    Revoke(RevokeArgs),
    /// List tokens that have not expired: id, key, holder, expiry. Tokens themselves are not stored.
    List(ListArgs),
    /// Make a new key. It signs from now on, and tokens of all other keys stay valid.
    Rotate(ListArgs),
    /// Retire a key: the server refuses the tokens that it signed from now on.
    Retire(RetireArgs),
    /// List keys; their secrets are not shown.
    Keys(ListArgs),
}

/// Flags of `eddyline token create`: the subject and the lifetime of the token.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// The user as whom the token acts.
    #[arg(long, required_unless_present = "service", conflicts_with = "service")]
    user: Option<String>,
    /// A service token: it acts as any user.
    #[arg(long)]
    service: bool,
    /// Days until it expires.
    #[arg(long, default_value_t = DAYS_DEFAULT, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
    days: i64,
    #[command(flatten)]
    access: AccessArgs,
}

/// Flags of `eddyline token revoke`: the token.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// The token's id (`jti`), as `token list` shows it.
    jti: String,
    /// For a token that another program signed: until when to remember the revocation, RFC 3339.
    #[arg(long, value_parser = rfc3339)]
    expires: Option<Millis>,
    #[command(flatten)]
    access: AccessArgs,
}

/// Flags of `eddyline token retire`: the key.
#[derive(Debug, clap::Args)]
pub struct RetireArgs {
    /// The key's id (`kid`), as `token keys` shows it.
    kid: String,
    #[command(flatten)]
    access: AccessArgs,
}

/// Flags of the commands that need only the store or server with the keys and tokens.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    access: AccessArgs,
}

/// An operation on keys and tokens, for a store or for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Sign a token for a user or a service.
    Create {
        /// The user's key; `None` for a service token.
        person: Option<Key>,
        /// Days until it expires.
        days: i64,
    },
    /// Refuse a token from now on.
    Revoke {
        /// The token's id.
        jti: Key,
        /// For a token that another program signed: until when to remember the revocation.
        expires: Option<Millis>,
    },
    /// List the tokens that have not expired.
    List,
    /// Make a new signing key.
    Rotate,
    /// Refuse all tokens of this key from now on.
    Retire(Key),
    /// List the keys without their secrets.
    Keys,
}

/// Runs one of the commands, in the configured store or through the server at `--url`.
///
/// # Errors
/// An id that is no key, or the store's or the server's failure.
pub fn run(command: Command) -> anyhow::Result<()> {
    let (access, task) = match command {
        Command::Create(CreateArgs { user, service: _, days, access }) => {
            let person = user.map(|user| Key::new(&user).context("--user")).transpose()?;
            (access, Task::Create { person, days })
        }
        Command::Revoke(RevokeArgs { jti, expires, access }) => {
            (access, Task::Revoke { jti: Key::new(&jti).context("the token's id")?, expires })
        }
        Command::List(args) => (args.access, Task::List),
        Command::Rotate(args) => (args.access, Task::Rotate),
        Command::Retire(RetireArgs { kid, access }) => (access, Task::Retire(Key::new(&kid).context("the key's id")?)),
        Command::Keys(args) => (args.access, Task::Keys),
    };
    let config = access.config.start_with_store(access.store)?;
    let text = match access.url {
        Some(url) => over_http(&url, &task)?,
        None => block_on(in_store(&config, task, WallClock::default().now()))?,
    };
    if text.is_empty() { Ok(()) } else { print(text.trim_end()) }
}

/// Carries the task out in the configured store; returns the text for standard output.
///
/// # Errors
/// A server has the embedded store open, or the store fails.
async fn in_store(config: &Config, task: Task, now: Millis) -> anyhow::Result<String> {
    if let Task::Create { person, days } = &task
        && config.secret.is_some()
        && !exists(&config.store)
    {
        // The secret alone signs a token. Opening the store would create it.
        return with_secret(config, person.as_ref(), *days, now);
    }
    let store = match app::open_access(config).await {
        Ok(store) => store,
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::Locked(_))) => match &task {
            Task::Create { person, days } if config.secret.is_some() => {
                return with_secret(config, person.as_ref(), *days, now);
            }
            _ => bail!("{error:#}, or let the server do it: --url, with a service token in EDDYLINE_TOKEN"),
        },
        Err(error) => return Err(error),
    };
    let access = Access::open(store, config.secret.clone(), now).await?;
    Ok(match task {
        Task::Create { person, days } => {
            if !access.has_signer() {
                let key = access.rotate(now).await?;
                say(format_args!("made the first key, {}: servers that start from now on require tokens", key.kid));
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

/// Signs a token with the configured secret alone; nothing is stored.
fn with_secret(config: &Config, person: Option<&Key>, days: i64, now: Millis) -> anyhow::Result<String> {
    let ring = KeyRing::new(&[], config.secret.as_ref(), [])?;
    let jti = crate::gateway::access::random_key("");
    let (token, _) = ring.sign(&jti, person, now.plus(days.saturating_mul(DAY_MS)), now)?;
    say(format_args!("signed with the configured secret, so `token list` does not show it: its id is {jti}"));
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

/// Lets a running server carry the task out; returns the text for standard output.
///
/// # Errors
/// The server cannot be reached, requires a token, or refuses the request.
fn over_http(url: &str, task: &Task) -> anyhow::Result<String> {
    let server = Remote::new(url, TIMEOUT);
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
            server.ask("DELETE", &format!("/v1/tokens/{}{query}", encoded(jti.as_str())), None)?;
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
                after = format!("&after={}", encoded(next));
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
            server.ask("DELETE", &format!("/v1/keys/{}", encoded(kid.as_str())), None)?;
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
