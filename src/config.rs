//! Configuration: defaults, then a TOML file, then `EDDYLINE_*` variables, then flags; the later wins.
//!
//! Invariant: what [`Config::load`] returns was checked; an error names the key and where its value came from.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::actors::inside::Limits;
use crate::actors::schedule::Schedule;
use crate::actors::slates::SlateSettings;
use crate::embed::Choice;
use crate::engine::settings::{ClusterSettings, LearnSettings};
use crate::gateway::auth;
use crate::gateway::rates::RateSettings;
use crate::store::postgres::{PostgresSettings, PostgresUrl};

/// What variables of the configuration begin with.
const PREFIX: &str = "EDDYLINE_";

/// Variables of the prefix that steer the command line, tests and tools, and not the server.
const OF_TOOLS: [&str; 9] =
    ["data", "url", "token", "shots", "config", "log", "test_postgres", "test_seed", "test_crash_directory"];

/// Everything that can be configured. In a variable, `__` goes one level down: `EDDYLINE_LEARN__DECAY_RATE=2`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// `file:DIR`, the embedded store in a directory, or `postgres://…`. Shown without its password.
    pub store: StoreUrl,
    /// For `store = "postgres://…"`.
    pub postgres: PostgresSettings,
    /// Numbers in an embedding.
    pub dim: usize,
    /// What turns text into vectors: `hashing`, `given` (items bring theirs) or `http`.
    pub embedder: Choice,
    /// For `embedder = "http"`.
    pub http: HttpEmbedding,
    /// Signs tokens (HS256): at least 32 bytes. Without it, and without a key in the store, the server answers everybody,
    /// on loopback only.
    #[serde(skip_serializing)]
    pub secret: Option<SecretString>,
    /// Origins that may open sockets, beside the server's own. Shown without passwords.
    #[serde(serialize_with = "each_without_passwords")]
    pub origins: Vec<String>,
    /// Open sockets at once.
    pub sockets_max: usize,
    /// A PEM file with the server's certificate and those that vouch for it: with it all connections speak TLS.
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// How much anybody may ask for.
    pub rate: RateSettings,
    /// Threads for people's actors; 0: as many as processors.
    pub threads: usize,
    /// Threads for HTTP and sockets; 0: as many as processors.
    pub workers: usize,
    /// `text` or `json`, on standard error.
    pub log_format: LogFormat,
    /// Learning and ranking.
    pub learn: LearnSettings,
    /// How people are grouped, and when.
    pub cluster: ClusterSettings,
    /// The log of drawn feeds.
    pub slates: SlateSettings,
    /// Ends of queues.
    pub limits: Limits,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// A server that speaks `POST /v1/embeddings`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpEmbedding {
    /// Its address, without `/v1/embeddings`. Shown without passwords.
    #[serde(serialize_with = "without_passwords")]
    pub base: String,
    /// The model's name there.
    pub model: String,
    /// Bearer key, if it wants one.
    #[serde(skip_serializing)]
    pub key: Option<SecretString>,
}

fn without_passwords<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(url))
}

fn each_without_passwords<S: Serializer>(urls: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(urls.iter().map(|url| shown(url)))
}

/// A URL as it may be shown: without user and password, and without the values of its parameters, which may be keys.
fn shown(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let (scheme, place) = address.split_once("://").map_or(("", address), |(scheme, place)| (scheme, place));
    // The last one: a password in which somebody forgot to escape an `@` or a `/` must not come out in halves.
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
            threads: 0,
            workers: 0,
            log_format: LogFormat::Text,
            learn: LearnSettings::default(),
            cluster: ClusterSettings::default(),
            slates: SlateSettings::default(),
            limits: Limits::default(),
        }
    }
}

/// What flags say; `None` leaves the value to the file, the environment or the default.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Flags {
    /// See [`Config::listen`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// See [`Config::store`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {rule}")]
pub struct ConfigError {
    /// The key, as it stands in the file.
    pub key: String,
    /// What is wrong, and what it must be.
    pub rule: String,
}

fn error(key: impl Into<String>, rule: impl Into<String>) -> ConfigError {
    ConfigError { key: key.into(), rule: rule.into() }
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum StoreUrl {
    /// The embedded store in this directory.
    File(PathBuf),
    /// The store in this Postgres database.
    Postgres(Box<PostgresUrl>),
}

impl TryFrom<String> for StoreUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        StoreUrl::parse(&text).map_err(|error| error.rule)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::File(directory) => write!(f, "file:{}", directory.display()),
            StoreUrl::Postgres(url) => url.fmt(f),
        }
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl StoreUrl {
    /// Reads `file:DIR` or `postgres://…`.
    ///
    /// # Errors
    /// What it must be.
    pub fn parse(text: &str) -> Result<StoreUrl, ConfigError> {
        if let Some(directory) = text.strip_prefix("file:").filter(|directory| !directory.is_empty()) {
            return Ok(StoreUrl::File(directory.into()));
        }
        if PostgresUrl::is_one(text) {
            let url = PostgresUrl::parse(text).map_err(|rule| error("store", rule.to_string()))?;
            return Ok(StoreUrl::Postgres(Box::new(url)));
        }
        // Only the scheme is repeated: there may be a password behind it.
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        Err(error(
            "store",
            format!("must be file:DIRECTORY or postgres://USER:PASSWORD@HOST/DATABASE, begins with {scheme:?}"),
        ))
    }
}

impl Config {
    /// Reads and checks. `file` must exist when it is given. Variables that are no settings are passed over: see
    /// [`unknown_variables`].
    ///
    /// # Errors
    /// [`ConfigError`] names the key, where its value came from, and what it must be.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Config, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(error("--config", format!("no file {}", file.display())));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let known = keys();
        let ours =
            Env::prefixed(PREFIX).filter(move |key| is_known(&known, &key.as_str().to_ascii_lowercase())).split("__");
        let config: Config = figment.merge(ours).merge(Serialized::defaults(flags)).extract().map_err(|failure| {
            let source = failure.metadata.as_ref().map(|from| format!(" (from {})", from.name)).unwrap_or_default();
            let key = if failure.path.is_empty() { unknown_key(&failure) } else { failure.path.join(".") };
            error(key, format!("{}{source}", what_is_wrong(&failure.kind)))
        })?;
        config.check()?;
        Ok(config)
    }

    /// Checks every value that has bounds.
    ///
    /// # Errors
    /// The first key that is out of them.
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
            (Some(_), None) => return Err(error("tls_key", "must be set beside tls_cert")),
            (None, Some(_)) => return Err(error("tls_cert", "must be set beside tls_key")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.rate.check().map_err(|empty| error(empty.key(), empty.to_string()))?;
        self.learn.check().map_err(|(key, rule)| error(format!("learn.{key}"), rule))?;
        self.cluster.check(&self.learn.metrics).map_err(|(key, rule)| error(key, rule))?;
        Schedule::read(&self.cluster.schedule).map_err(|rule| error("cluster.schedule", rule))?;
        self.slates.check().map_err(|(key, rule)| error(key, rule))?;
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
        if self.limits.snapshot_every == 0 || self.limits.idle_ms < 100 {
            return Err(error("limits", "snapshot_every must be at least 1, idle_ms at least 100"));
        }
        Ok(())
    }

    /// Changes settings of `[learn]`, each written `key=value` as in `rank.author_run=2`; a value that is no number and no
    /// `true` or `false` is a text.
    ///
    /// # Errors
    /// The key that is unknown or out of bounds.
    pub fn set_learn(&mut self, changes: &[String]) -> Result<(), ConfigError> {
        if changes.is_empty() {
            return Ok(());
        }
        let wrong = |key: &str, rule: &str| error(format!("--set learn.{key}"), rule);
        let mut all = serde_json::to_value(&self.learn).map_err(|failure| error("--set", failure.to_string()))?;
        for change in changes {
            let (key, value) = change.split_once('=').ok_or_else(|| error("--set", "must be KEY=VALUE"))?;
            let pointer = format!("/{}", key.trim().replace('.', "/"));
            let place = all.pointer_mut(&pointer).filter(|place| !place.is_object());
            let value = value.trim();
            *place.ok_or_else(|| wrong(key, "is no setting of [learn]"))? =
                serde_json::from_str(value).unwrap_or_else(|_| value.into());
            self.learn = serde_json::from_value(all.clone()).map_err(|failure| wrong(key, &failure.to_string()))?;
        }
        self.learn.check().map_err(|(key, rule)| wrong(key, rule))
    }

    /// All that the engine is told.
    #[must_use]
    pub fn engine(&self) -> LearnSettings {
        LearnSettings { cluster: self.cluster.clone(), ..self.learn.clone() }
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// When `listen` is none.
    pub fn address(&self) -> Result<SocketAddr, ConfigError> {
        self.listen.parse().map_err(|_| {
            error(
                "listen",
                format!("must be an address and a port such as 127.0.0.1:8080, is {:?}", shown(&self.listen)),
            )
        })
    }

    /// The same, once it is known whether tokens can be checked: with a secret, or with a key in the store.
    ///
    /// # Errors
    /// When it is beyond loopback, and everybody could come in.
    pub fn safe_address(&self, has_key: bool) -> Result<SocketAddr, ConfigError> {
        let address = self.address()?;
        auth::check_listen(address, has_key).map_err(|open| error("listen", open.to_string()))?;
        Ok(address)
    }
}

/// The names of variables that begin as ours do and set nothing, in order. A Service named `eddyline` has Kubernetes put
/// `EDDYLINE_PORT` and its like into every pod.
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

/// All settings as a tree.
fn keys() -> serde_json::Value {
    let mut keys = serde_json::to_value(Config::default()).unwrap_or_default();
    // These are never shown, and so not written either.
    for (above, secret) in [("", "secret"), ("/http", "key")] {
        if let Some(table) = keys.pointer_mut(above).and_then(serde_json::Value::as_object_mut) {
            table.insert(secret.into(), serde_json::Value::Null);
        }
    }
    keys
}

/// Does a variable, in lower case and without the prefix, name a setting or a table of settings?
fn is_known(keys: &serde_json::Value, variable: &str) -> bool {
    variable.split("__").try_fold(keys, |table, name| table.as_object()?.get(name)).is_some()
}

/// figment names an unknown key only in the text of its error.
/// Says what is wrong without repeating the value, which may hold a secret or a password.
fn what_is_wrong(kind: &figment::error::Kind) -> String {
    use figment::error::Kind;
    match kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => format!("must be {expected}"),
        // A parser of TOML shows the whole line; its first line says where, its last one why.
        Kind::Message(text) if text.contains('\n') => {
            let (place, why) = (text.lines().next().unwrap_or_default(), text.lines().last().unwrap_or_default());
            format!("{}: {why}", place.trim_start_matches("TOML parse error at "))
        }
        other => other.to_string(),
    }
}

fn unknown_key(failure: &figment::Error) -> String {
    match &failure.kind {
        figment::error::Kind::UnknownField(key, _) => key.clone(),
        figment::error::Kind::MissingField(key) => key.to_string(),
        _ => "configuration".into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn from_text(text: &str) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("eddyline.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), &Flags::default())
    }

    #[test]
    fn every_error_names_its_key() {
        for (text, key) in [
            ("listen = 5", "listen"),
            ("listen = \"nowhere\"", "listen"),
            ("store = \"redis://x\"", "store"),
            ("store = \"postgres://ada:secret@db:port/x\"", "store"),
            ("[postgres]\nconnections_max = 0", "postgres.connections_max"),
            ("[postgres]\nspeed = 1", "speed"),
            ("dim = 0", "dim"),
            ("dim = \"many\"", "dim"),
            ("embedder = \"magic\"", "embedder"),
            ("secret = \"short\"", "secret"),
            ("colour = 1", "colour"),
            ("tls_cert = \"a.pem\"", "tls_key"),
            ("tls_key = \"a.pem\"", "tls_cert"),
            ("[rate.person]\nper_second = 5\nburst = 0", "rate.person.burst"),
            ("[rate.person]\nper_second = -5\nburst = 1", "rate.person.per_second"),
            ("[rate.robots]\nper_second = 5\nburst = 1", "robots"),
            ("[learn]\ndecay_rate = -1", "learn.decay_rate"),
            ("[learn]\ndecay = \"sudden\"", "learn.decay"),
            ("[learn.signals]\nclick_weight = nan", "learn.signals"),
            ("[learn.rank]\npool = 0", "learn.rank.pool"),
            ("[learn.rank]\nmmr_lambda = 0.5\ncalibration = 0.5", "learn.rank.mmr_lambda"),
            ("[learn.metrics]\ntime_spent = [\"post\", \"post\"]", "learn.metrics"),
            ("[learn.metrics]\nclicks = [\"post\"]", "learn.metrics.clicks"),
            ("[cluster]\ncolumns = []", "cluster.columns"),
            ("[cluster]\ncolumns = [\"time_spent.nowhere\"]", "cluster.columns"),
            ("[cluster]\ncolumns = [\"clicks\"]", "cluster.columns"),
            ("[cluster]\nschedule = \"now and then\"", "cluster.schedule"),
            ("[cluster]\ninterval_s = 0", "cluster.interval_s"),
            ("[slates]\nrate = 2.0", "slates.rate"),
            ("[slates]\nlog = \"some\"", "slates.log"),
            ("[limits]\njournal_queue = 1", "limits.journal_queue"),
        ] {
            let error = from_text(text).unwrap_err();
            assert!(error.key.ends_with(key) || error.rule.contains(key), "{text}: {error:?}");
            assert!(!error.to_string().contains("secret@"), "{error}");
        }
    }

    #[test]
    fn every_setting_is_a_variable_and_what_kubernetes_injects_is_none() {
        let known = keys();
        for (variable, expected) in [
            ("listen", true),
            ("secret", true),
            ("http__key", true),
            ("tls_cert", true),
            ("learn__rank__temperature", true),
            ("rate", true),
            ("cluster__columns", true),
            ("port", false),
            ("port_8080_tcp_addr", false),
            ("service_host", false),
            ("listen__port", false),
            ("learn__colour", false),
            ("", false),
            ("__", false),
        ] {
            assert_eq!(is_known(&known, variable), expected, "{variable}");
        }
    }

    #[test]
    fn a_file_with_a_byte_order_mark_is_read() {
        assert_eq!(from_text("\u{feff}dim = 16").unwrap().dim, 16);
    }

    #[test]
    fn the_later_source_wins() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("eddyline.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\ndim = 16").unwrap();
        let flags = Flags { listen: Some("127.0.0.1:2".into()), store: None };
        let config = Config::load(Some(&file), &flags).unwrap();
        assert_eq!((config.listen.as_str(), config.dim), ("127.0.0.1:2", 16));
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn a_password_is_not_shown_with_the_configuration() {
        let config = from_text("store = \"postgres://ada:hidden@db/feeds?sslmode=verify-full\"").unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
        let shown = serde_json::to_value(&config).unwrap();
        assert_eq!(shown["store"], "postgres://ada@db/feeds?sslmode=verify-full");
    }

    #[test]
    fn settings_of_learning_can_be_changed_one_by_one() {
        let set = |changes: &[&str]| {
            let mut config = Config::default();
            config.set_learn(&changes.iter().map(|change| (*change).to_owned()).collect::<Vec<_>>()).map(|()| config)
        };
        let config = set(&["rank.author_run=0", "rank.mmr_lambda=0.7", "decay = euler", "decay_rate=2"]).unwrap();
        assert_eq!((config.learn.rank.author_run, config.learn.rank.mmr_lambda), (0, 0.7));
        assert_eq!((config.learn.decay, config.learn.decay_rate), (crate::engine::settings::Decay::Euler, 2.0));
        for (change, blamed) in [
            ("rank.colour=1", "rank.colour"),
            ("rank=1", "rank"),
            ("rank.pool=0", "rank.pool"),
            ("rank.pool=many", "rank.pool"),
            ("rank.pool", "KEY=VALUE"),
        ] {
            assert!(set(&[change]).unwrap_err().to_string().contains(blamed), "{change}");
        }
    }

    #[test]
    fn no_url_is_shown_with_its_password() {
        for (url, expected) in [
            ("", ""),
            ("http://localhost:11434", "http://localhost:11434"),
            ("https://api.example/v2", "https://api.example/v2"),
            ("https://me:hunter2@api.example/v2", "https://***@api.example/v2"),
            ("https://hunter2@api.example", "https://***@api.example"),
            ("https://me:hun/ter2@api.example", "https://***@api.example"),
            ("https://me:hunter2@x@api.example:81", "https://***@api.example:81"),
            ("me:hunter2@api.example", "***@api.example"),
            ("https://api.example?key=hunter2&hunter2#hunter2", "https://api.example?key=***&***"),
        ] {
            assert_eq!(shown(url), expected);
        }
        let text = "store = \"postgres://ada:hunter2@db/feeds?%70assword=hunter2&passw%6Frd=hunter2&options=-c%20a%3Dhunter2\"\n\
                    origins = [\"https://me:hunter2@app.example\"]\n[http]\nbase = \"https://me:hunter2@api.example\"\nkey = \"hunter2\"";
        let config = from_text(text).unwrap();
        for shown in [serde_json::to_string(&config).unwrap(), format!("{}", config.store)] {
            assert!(!shown.contains("hunter2") && shown.contains("ada@db/feeds"), "{shown}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_repeated() {
        for (text, part) in [
            ("store = \"postgres://me:hunter2@h/d", "line 1"),
            ("dim = 3\nstore = \"postgres://me:hunter2@h/d\" x", "line 2"),
            ("secret = \"hunter2\" x", "line 1"),
            ("secret = \"hunter2", "line 1"),
            ("origins = \"https://me:hunter2@h\"", "origins"),
            ("dim = \"hunter2\"", "dim"),
            ("listen = \"postgres://me:hunter2@h/d\"", "listen"),
            ("store = \"postgres://me:hunter2@\"", "store"),
        ] {
            let said = from_text(text).map(|_| ()).unwrap_err().to_string();
            assert!(said.contains(part) && !said.contains("hunter2") && !said.contains('\n'), "{text}: {said}");
        }
    }

    #[test]
    fn beyond_loopback_needs_a_key() {
        for (listen, has_key, good) in [
            ("0.0.0.0:80", false, false),
            ("0.0.0.0:80", true, true),
            ("[::]:80", false, false),
            ("[::1]:80", false, true),
            ("127.0.0.1:80", false, true),
        ] {
            let found = from_text(&format!("listen = \"{listen}\"")).unwrap().safe_address(has_key);
            assert_eq!(found.is_ok(), good, "{listen} {has_key}");
            assert!(found.is_ok() || found.unwrap_err().to_string().contains("EDDYLINE_SECRET"));
        }
    }
}
