//! Configuration: defaults, then a TOML file, then `EDDYLINE_*` variables, then flags; later sources override earlier ones.
//!
//! Invariant: [`Config::load`] returns checked values only. An error names the key and the origin of its value: the file, the
//! variable or the command line. No error repeats a value that may hold a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::Value;
use figment::{Figment, Metadata};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::actors::context::Limits;
use crate::actors::schedule::Schedule;
use crate::actors::slates::SlateSettings;
use crate::domain::clusterings::{CLUSTERINGS_MAX, DEFAULT, check_name};
use crate::domain::interactions::Kind;
use crate::domain::json::{self, JsonError, expectation};
use crate::domain::metrics::{self, Declaration};
use crate::embed::Choice;
use crate::engine::metrics::measured::Declarations;
use crate::engine::settings::{ClusterSettings, LearnSettings};
use crate::gateway::auth;
use crate::gateway::gorse_settings::GorseSettings;
use crate::gateway::rates::RateSettings;
use crate::gateway::stream_settings::{AppSettings, Group};
use crate::store::postgres::PostgresSettings;

pub use store_url::{StoreUrl, StoreUrlError};

mod store_url;

/// Prefix of all variables of the configuration.
const PREFIX: &str = "EDDYLINE_";

/// Variables with the prefix that configure commands, tests and tools instead of the server.
const OF_TOOLS: [&str; 10] = [
    "data",
    "url",
    "token",
    "shots",
    "config",
    "log",
    "test_postgres",
    "test_pygorse",
    "test_seed",
    "test_crash_directory",
];

/// All settings. In the name of a variable, `__` separates levels: `EDDYLINE_LEARN__DECAY_RATE=2`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// `file:DIR`, the embedded store in a directory, or `postgres://…`. Printed without its password.
    pub store: StoreUrl,
    /// Settings for `store = "postgres://…"`.
    pub postgres: PostgresSettings,
    /// Length of an embedding.
    pub dim: usize,
    /// Embedder of texts: `hashing`, `given` (items come with embeddings) or `http`.
    pub embedder: Choice,
    /// Settings for `embedder = "http"`.
    pub http: HttpEmbedding,
    /// Secret of at least 32 bytes that signs tokens (HS256). Without it, and without a key in the store, the server
    /// requires no tokens, and listens on loopback only.
    #[serde(skip_serializing)]
    pub secret: Option<SecretString>,
    /// Origins that may open sockets, beside the server's own. Printed without passwords.
    #[serde(serialize_with = "each_without_passwords")]
    pub origins: Vec<String>,
    /// Largest number of sockets that are open at once.
    pub sockets_max: usize,
    /// A PEM file with the server's certificate chain. With it all connections use TLS.
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with the private key of `tls_cert`.
    pub tls_key: Option<PathBuf>,
    /// Rate limits of clients.
    pub rate: RateSettings,
    /// Settings of the door for Gorse clients.
    pub gorse: GorseSettings,
    /// Apps of the feeds API, by name.
    pub apps: BTreeMap<String, AppSettings>,
    /// Threads for the actors of users; 0: one per core.
    pub threads: usize,
    /// Threads for HTTP and sockets; 0: one per core.
    pub workers: usize,
    /// Format of the log on standard error: `text` or `json`.
    pub log_format: LogFormat,
    /// Settings of learning and ranking.
    pub learn: LearnSettings,
    /// Declared metrics of users, by name, beside the built-in ones.
    pub metrics: BTreeMap<String, Declaration>,
    /// Settings of the clustering `default`, and the limits of all fits.
    pub cluster: ClusterSettings,
    /// Further clusterings of users, by name.
    pub clusterings: BTreeMap<String, ClusterSettings>,
    /// Settings of the log of slates, the shown feeds.
    pub slates: SlateSettings,
    /// Bounds of queues, caches and passivation.
    pub limits: Limits,
}

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines of text for people.
    #[default]
    Text,
    /// JSON objects for programs.
    Json,
}

/// An embedding server with the API `POST /v1/embeddings`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpEmbedding {
    /// Address without `/v1/embeddings`. Printed without passwords.
    #[serde(serialize_with = "without_passwords")]
    pub base: String,
    /// The server's name of the model.
    pub model: String,
    /// Bearer token, if the server requires one.
    #[serde(skip_serializing)]
    pub key: Option<SecretString>,
}

fn without_passwords<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(url))
}

fn each_without_passwords<S: Serializer>(urls: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(urls.iter().map(|url| shown(url)))
}

/// A URL without user and password, and without the values of its parameters, which may be keys.
fn shown(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let (scheme, place) = address.split_once("://").map_or(("", address), |(scheme, place)| (scheme, place));
    // The last `@` ends the password: a password may hold an unescaped `@` or `/`, and no part of it may be printed.
    let place = place.rsplit_once('@').map_or(place.to_owned(), |(_, place)| format!("***@{place}"));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    let names = query.map(|query| {
        let masked =
            query.split('&').map(|pair| pair.split_once('=').map_or("***".into(), |(name, _)| format!("{name}=***")));
        format!("?{}", masked.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}{place}{}", names.unwrap_or_default())
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: "127.0.0.1:8080".into(),
            store: StoreUrl::File("eddyline-data".into()),
            postgres: PostgresSettings::default(),
            dim: 384,
            embedder: Choice::Hashing,
            http: HttpEmbedding::default(),
            secret: None,
            origins: Vec::new(),
            sockets_max: 12_000,
            tls_cert: None,
            tls_key: None,
            rate: RateSettings::default(),
            gorse: GorseSettings::default(),
            apps: BTreeMap::new(),
            threads: 0,
            workers: 0,
            log_format: LogFormat::Text,
            learn: LearnSettings::default(),
            metrics: metrics::built_in(),
            cluster: ClusterSettings::default(),
            clusterings: BTreeMap::new(),
            slates: SlateSettings::default(),
            limits: Limits::default(),
        }
    }
}

/// Settings from flags; `None` leaves the value to the environment, the file or the default.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Flags {
    /// Value of `--listen`, which overrides [`Config::listen`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Value of `--store`, which overrides [`Config::store`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key of the setting, as in the file, or the flag.
    pub key: String,
    /// Rule that the value must satisfy.
    pub rule: String,
    /// Source of the value; `None` for a default, and for an error that names no single setting.
    pub origin: Option<Origin>,
}

/// Source of a setting's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file at this path.
    File(PathBuf),
    /// The environment variable of this name.
    Variable(String),
    /// A flag on the command line.
    CommandLine,
}

impl ConfigError {
    /// An error without an origin.
    pub fn new(key: impl Into<String>, rule: impl Into<String>) -> ConfigError {
        ConfigError { key: key.into(), rule: rule.into(), origin: None }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        match &self.origin {
            None => {}
            Some(Origin::File(path)) => write!(f, " ({})", path.display())?,
            Some(Origin::Variable(name)) => write!(f, " ({name})")?,
            Some(Origin::CommandLine) => f.write_str(" (command line)")?,
        }
        write!(f, ": {}", self.rule)
    }
}

impl std::error::Error for ConfigError {}

impl Origin {
    /// Origin of `key` by the metadata of its value; `None` for a default.
    fn of(metadata: &Metadata, key: &str) -> Option<Origin> {
        if let Some(path) = metadata.source.as_ref().and_then(|source| source.file_path()) {
            return Some(Origin::File(path.to_owned()));
        }
        if metadata.name.contains("environment") {
            return Some(Origin::Variable(format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())));
        }
        (metadata.name == std::any::type_name::<&Flags>()).then_some(Origin::CommandLine)
    }
}

/// Metadata of the value at a key, or of the innermost table around it that has any. A name with a full stop, which a quoted
/// key may have, is found as a whole.
fn metadata<'a>(figment: &'a Figment, key: &str) -> Option<&'a Metadata> {
    let place = |key: &str| figment.find_metadata(key);
    let named = || {
        let (table, name) = key.split_once('.')?;
        let value = figment.find_value(table).ok()?.into_dict()?.remove(name)?;
        let inner = value.as_dict().and_then(|fields| fields.values().next()).map(Value::tag);
        figment.get_metadata(value.tag()).or_else(|| figment.get_metadata(inner?))
    };
    place(key).or_else(named)
}

/// Checks one clustering; errors name its keys below `table`.
fn check_clustering(table: &str, settings: &ClusterSettings, declared: &Declarations) -> Result<(), ConfigError> {
    settings.check(declared).map_err(|(key, rule)| error(format!("{table}.{key}"), rule))?;
    Schedule::check(&settings.schedule).map_err(|fault| error(format!("{table}.schedule"), fault.to_string()))
}

fn error(key: impl Into<String>, rule: impl Into<String>) -> ConfigError {
    ConfigError::new(key, rule)
}

impl Config {
    /// Reads all sources and checks all values. A given `file` must exist. Variables that name no setting are ignored;
    /// [`unknown_variables`] lists them.
    ///
    /// # Errors
    /// [`ConfigError`] names the key, the origin of its value, and the rule.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Config, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(error("--config", format!("there is no file {}", file.display())));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let known = keys();
        let ours =
            Env::prefixed(PREFIX).filter(move |key| is_known(&known, &key.as_str().to_ascii_lowercase())).split("__");
        let figment = figment.merge(ours).merge(Serialized::defaults(flags));
        let config: Config = figment.extract().map_err(|failure| reworded(&failure, file))?;
        config.check().map_err(|error| {
            let origin = metadata(&figment, &error.key).and_then(|metadata| Origin::of(metadata, &error.key));
            ConfigError { origin, ..error }
        })?;
        Ok(config)
    }

    /// Checks the bounds of all values.
    ///
    /// # Errors
    /// The first key whose value is out of bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.address()?;
        self.postgres.check().map_err(|(key, rule)| error(format!("postgres.{key}"), rule.to_string()))?;
        if !(1..=crate::embed::DIM_MAX).contains(&self.dim) {
            return Err(error("dim", format!("must be 1 to {}, is {}", crate::embed::DIM_MAX, self.dim)));
        }
        if let Some(secret) = &self.secret
            && secret.expose_secret().len() < 32
        {
            return Err(error("secret", "must have at least 32 bytes"));
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return Err(error("tls_key", "must be set, because tls_cert is set")),
            (None, Some(_)) => return Err(error("tls_cert", "must be set, because tls_key is set")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.check_apps()?;
        self.rate.check().map_err(|empty| error(empty.key(), empty.to_string()))?;
        self.learn.check().map_err(|(key, rule)| error(format!("learn.{key}"), rule))?;
        let declared = self.declared();
        declared.check().map_err(|(name, field, rule)| match field {
            "name" => error(if name.is_empty() { "metrics".into() } else { format!("metrics.{name}") }, rule),
            _ => error(format!("metrics.{name}.{field}"), rule),
        })?;
        check_clustering("cluster", &self.cluster, &declared)?;
        if self.clusterings.len() >= CLUSTERINGS_MAX {
            return Err(error("clusterings", format!("must be at most {} beside [cluster]", CLUSTERINGS_MAX - 1)));
        }
        for (name, settings) in &self.clusterings {
            let table = format!("clusterings.{name}");
            if name == DEFAULT {
                return Err(error(table, "must stand in [cluster], which sets the clustering default"));
            }
            check_name(name).map_err(|rule| error(table.as_str(), rule))?;
            if let Some(key) = settings.sets_shared() {
                return Err(error(format!("{table}.{key}"), "must stand in [cluster]: it holds for all clusterings"));
            }
            check_clustering(&table, settings, &declared)?;
        }
        self.slates.check().map_err(|fault| error(fault.key(), fault.to_string()))?;
        let limits = &self.limits;
        let bounds = [
            ("limits.user_mailbox", limits.user_mailbox, 16, 1 << 20),
            ("limits.journal_queue", limits.journal_queue, 16, 1 << 22),
            ("limits.active_people", limits.active_people, 1, 1 << 24),
            ("limits.embed_queue", limits.embed_queue, 1, 1 << 20),
            ("limits.refresh_percent", limits.refresh_percent, 0, 100),
            ("sockets_max", self.sockets_max, 1, 1_000_000),
            ("threads", self.threads, 0, 1_024),
            ("workers", self.workers, 0, 1_024),
        ];
        for (key, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(error(key, format!("must be {low} to {high}, is {value}")));
            }
        }
        if self.limits.snapshot_every == 0 {
            return Err(error("limits.snapshot_every", "must be at least 1, is 0"));
        }
        if self.limits.idle_ms < 100 {
            return Err(error("limits.idle_ms", format!("must be at least 100, is {}", self.limits.idle_ms)));
        }
        Ok(())
    }

    /// Checks that apps have keys and stores of their own.
    fn check_apps(&self) -> Result<(), ConfigError> {
        let (mut keys, mut stores) = (BTreeSet::new(), BTreeSet::new());
        for (name, app) in &self.apps {
            let table = format!("apps.{name}");
            app.check().map_err(|(key, rule)| error(format!("{table}.{key}"), rule))?;
            if !keys.insert(&app.key) {
                return Err(error(format!("{table}.key"), "must be the key of one app alone"));
            }
            let store = self.store_of(app).map_err(|fault| error(format!("{table}.store"), fault.to_string()))?;
            if !stores.insert(store.to_string()) || (!app.store.is_empty() && store == self.store) {
                return Err(error(format!("{table}.store"), "must be a store that no other app has"));
            }
        }
        Ok(())
    }

    /// The store of an app; without one of its own, that of the server.
    ///
    /// # Errors
    /// The text names no store.
    pub fn store_of(&self, app: &AppSettings) -> Result<StoreUrl, StoreUrlError> {
        if app.store.is_empty() { Ok(self.store.clone()) } else { StoreUrl::parse(&app.store) }
    }

    /// Changes settings of `[learn]`, each written `key=value` as in `rank.author_run=2`. A value that is no JSON is a text.
    ///
    /// # Errors
    /// A key is unknown, or its value is out of bounds.
    pub fn set_learn(&mut self, changes: &[String]) -> Result<(), ConfigError> {
        if changes.is_empty() {
            return Ok(());
        }
        let wrong = |key: &str, rule: &str| error(format!("--set learn.{key}"), rule);
        let mut all = serde_json::to_value(&self.learn)
            .map_err(|failure| error("--set", JsonError::new(&failure).to_string()))?;
        for change in changes {
            let (key, value) = change.split_once('=').ok_or_else(|| error("--set", "must be KEY=VALUE"))?;
            let pointer = format!("/{}", key.trim().replace('.', "/"));
            let place = all.pointer_mut(&pointer).filter(|place| !place.is_object());
            let value = value.trim();
            *place.ok_or_else(|| wrong(key, "is no setting of [learn]"))? =
                serde_json::from_str(value).unwrap_or_else(|_| value.into());
            self.learn = serde_json::from_value(all.clone())
                .map_err(|failure| wrong(key, &JsonError::new(&failure).to_string()))?;
        }
        self.learn.check().map_err(|(key, rule)| wrong(key, rule))
    }

    /// Settings of the engine: `[learn]` with `[metrics]`, `[cluster]` and `[clusterings]`.
    #[must_use]
    pub fn engine(&self) -> LearnSettings {
        LearnSettings {
            metrics: self.declared(),
            cluster: self.cluster.clone(),
            clusterings: self.clusterings.clone(),
            ..self.learn.clone()
        }
    }

    fn declared(&self) -> Declarations {
        Declarations::new(self.metrics.clone())
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// `listen` is no address with a port.
    pub fn address(&self) -> Result<SocketAddr, ConfigError> {
        self.listen.parse().map_err(|_| {
            error(
                "listen",
                format!("must be an address and a port such as 127.0.0.1:8080, is {:?}", shown(&self.listen)),
            )
        })
    }

    /// The address to listen on. `has_key` says whether the server can check tokens, by a secret or a key in the store.
    ///
    /// # Errors
    /// The address is not on loopback and the server has no key, so that any host could use it.
    pub fn safe_address(&self, has_key: bool) -> Result<SocketAddr, ConfigError> {
        let address = self.address()?;
        auth::check_listen(address, has_key).map_err(|open| error("listen", open.to_string()))?;
        Ok(address)
    }
}

/// Sorted names of the variables that have the prefix and name no setting. A Service named `eddyline`, for example, makes
/// Kubernetes set `EDDYLINE_PORT` and others in every pod.
#[must_use]
pub fn unknown_variables() -> Vec<String> {
    let known = keys();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ours = names.filter_map(|name| Some((name.strip_prefix(PREFIX)?.to_ascii_lowercase(), name)));
    let unknown = ours.filter(|(key, _)| !OF_TOOLS.contains(&key.as_str()) && !is_known(&known, key));
    let mut names: Vec<String> = unknown.map(|(_, name)| name).collect();
    names.sort();
    names
}

/// Tree of all settings, with their defaults as leaves. The tables `metrics`, `clusterings` and `gorse.kinds` have a member
/// `*` for any name.
fn keys() -> serde_json::Value {
    let metrics = BTreeMap::from([("*".to_owned(), Declaration::default())]);
    let clusterings = BTreeMap::from([("*".to_owned(), ClusterSettings::default())]);
    let kinds = BTreeMap::from([("*".to_owned(), Kind::Click)]);
    let app = AppSettings {
        kinds: kinds.clone(),
        groups: BTreeMap::from([("*".to_owned(), Group::Flat)]),
        ..AppSettings::default()
    };
    let apps = BTreeMap::from([("*".to_owned(), app)]);
    let gorse = GorseSettings { kinds, ..GorseSettings::default() };
    let config = Config { metrics, clusterings, gorse, apps, ..Config::default() };
    let mut keys = serde_json::to_value(config).unwrap_or_default();
    // Secrets are never serialised, so the defaults lack them.
    for (above, secret) in [("", "secret"), ("/http", "key"), ("/gorse", "api_key"), ("/apps/*", "secret")] {
        if let Some(table) = keys.pointer_mut(above).and_then(serde_json::Value::as_object_mut) {
            table.insert(secret.into(), serde_json::Value::Null);
        }
    }
    keys
}

/// Whether a variable, in lower case and without the prefix, names a setting or a table of settings.
fn is_known<'a>(keys: &'a serde_json::Value, variable: &str) -> bool {
    let member = |table: &'a serde_json::Value, name: &str| {
        let table = table.as_object()?;
        table.get(name).or_else(|| table.get("*").filter(|_| !name.is_empty()))
    };
    variable.split("__").try_fold(keys, member).is_some()
}

/// Rewords an error of figment: the key, the origin, and the rule. The value is not repeated, since it may be a secret.
fn reworded(failure: &figment::Error, file: Option<&Path>) -> ConfigError {
    use figment::error::Kind;
    let mut path = failure.path.clone();
    let rule = match &failure.kind {
        Kind::UnknownField(key, known) => {
            if path.last() != Some(key) {
                path.push(key.clone());
            }
            let is_named = path.first().is_some_and(|table| table == "clusterings");
            let known: Vec<&str> =
                known.iter().filter(|key| !is_named || !ClusterSettings::SHARED.contains(key)).copied().collect();
            let known = if known.is_empty() { String::new() } else { format!(": choose from {}", known.join(", ")) };
            format!("no setting has this name{known}")
        }
        Kind::MissingField(key) => {
            path.push(key.to_string());
            "must be set".into()
        }
        Kind::DuplicateField(key) => {
            path.push((*key).to_owned());
            "is set twice".into()
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("must be {}", expectation(expected))
        }
        Kind::InvalidLength(length, expected) => json::of_length(&length.to_string(), expected),
        Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "is out of range".into(),
        Kind::Unsupported(_) | Kind::UnsupportedKey(..) => "has a type that no setting has".into(),
        Kind::Message(text) => match (toml_place(text), file) {
            (Some((place, why)), Some(file)) => {
                return ConfigError::new(format!("{}, {place}", file.display()), format!("not TOML: {why}"));
            }
            _ => json::reworded(text),
        },
    };
    let key = path.join(".");
    let origin = failure.metadata.as_ref().and_then(|metadata| Origin::of(metadata, &key));
    ConfigError { key: if key.is_empty() { "configuration".into() } else { key }, rule, origin }
}

/// Line and column of a TOML parse error, and its reason. The lines between quote the file, which may hold secrets.
fn toml_place(text: &str) -> Option<(&str, &str)> {
    let place = text.lines().next()?.strip_prefix("TOML parse error at ")?;
    Some((place, text.lines().last()?))
}

#[cfg(test)]
mod tests;
