//! Where the database is, and how its connections are protected.
//!
//! Invariant: the password is neither in an error nor in what `Debug`, `Display` or `Serialize` write.
//! Absent on purpose: connecting.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=…&sslrootcert=…]`, as libpq reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    pub(super) config: Config,
    pub(super) protection: Protection,
}

/// Parameter `sslmode`, as in libpq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// `disable`.
    Plain,
    /// `prefer` (the default), `require`: encrypted (if the server can; or not at all), without asking to whom.
    Encrypted,
    /// `verify-ca`: by somebody whom we trust. `verify-full`: and made for this very host.
    Verified {
        /// Must its certificate name the host?
        host: bool,
        /// Parameter `sslrootcert`: certificates to trust; else those of the machine.
        roots: Option<PathBuf>,
    },
}

impl PostgresUrl {
    /// Does it look like one of ours?
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres:") || text.starts_with("postgresql:")
    }

    /// Reads and checks.
    ///
    /// # Errors
    /// What it must be; without what it is, since that may hold a password.
    pub fn parse(text: &str) -> Result<PostgresUrl, String> {
        let form = "must be postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=verify-full], with other characters \
                    than letters and digits in USER and PASSWORD written as %XX";
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut roots, mut rest) = (String::from("prefer"), None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(form)?;
            match name {
                "sslmode" => value.clone_into(&mut mode),
                "sslrootcert" if value == "system" => {}
                "sslrootcert" => roots = Some(PathBuf::from(percent_decode_str(value).decode_utf8_lossy().as_ref())),
                _ => rest.push(pair),
            }
        }
        let (on_the_wire, protection) = match &*mode {
            "disable" => (SslMode::Disable, Protection::Plain),
            "prefer" | "allow" => (SslMode::Prefer, Protection::Encrypted),
            "require" if roots.is_none() => (SslMode::Require, Protection::Encrypted),
            // As in libpq: whoever names certificates wants them used.
            "require" | "verify-ca" => (SslMode::Require, Protection::Verified { host: false, roots }),
            "verify-full" => (SslMode::Require, Protection::Verified { host: true, roots }),
            _ => return Err("sslmode must be disable, prefer, require, verify-ca or verify-full".into()),
        };
        let plain = if rest.is_empty() { address.to_owned() } else { format!("{address}?{}", rest.join("&")) };
        let mut config = Config::from_str(&plain).map_err(|_| form)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(form.into());
        }
        config.ssl_mode(on_the_wire);
        if config.get_application_name().is_none() {
            config.application_name(super::pool::PROGRAM);
        }
        Ok(PostgresUrl { text: text.to_owned(), config, protection })
    }

    /// For a driver: where, who and whether encrypted. How that is checked is up to [`super::tls::connector`].
    #[must_use]
    pub fn driver(&self) -> &Config {
        &self.config
    }

    /// As it was written, password and all: for whoever must hand it on.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

/// Parameters that hold no secret.
const SHOWN: [&str; 14] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "load_balance_hosts",
    "port",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "user",
];

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.text.split_once("://").unwrap_or(("postgres", ""));
        let (address, query) = rest.split_once('?').map_or((rest, ""), |(address, query)| (address, query));
        // The last one: a password in which somebody forgot to escape an `@` must not come out in halves.
        let (user, place) = address
            .rsplit_once('@')
            .map_or(("", address), |(who, place)| (who.split_once(':').map_or(who, |(user, _)| user), place));
        let is_shown = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            // As the driver reads it: letters may be escaped, and `options` hold whatever a session is given.
            SHOWN.contains(&percent_decode_str(name).decode_utf8_lossy().as_ref())
        };
        let shown = query.split('&').filter(is_shown);
        let query = shown.collect::<Vec<_>>().join("&");
        let at = if user.is_empty() { "" } else { "@" };
        let question = if query.is_empty() { "" } else { "?" };
        write!(f, "{scheme}://{user}{at}{place}{question}{query}")
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        for (text, shown) in [
            ("postgres://ada:se%40cret@db:5433/feeds", "postgres://ada@db:5433/feeds"),
            ("postgres://ada:se@cret@db/feeds", "postgres://ada@db/feeds"),
            ("postgresql://ada@db/feeds?sslmode=require", "postgresql://ada@db/feeds?sslmode=require"),
            ("postgres://db/feeds?user=ada&password=secret", "postgres://db/feeds?user=ada"),
            ("postgres://%2Fvar%2Frun%2Fpostgresql/feeds", "postgres://%2Fvar%2Frun%2Fpostgresql/feeds"),
        ] {
            let url = PostgresUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("cret"));
            assert_eq!(url.expose(), text);
        }
        for wrong in [
            "postgres://ada:secret@db:port/feeds",
            "postgres://ada:secret@db/feeds?sslmode=secret",
            "postgres://ada:secret@db/feeds?secret=1",
            "postgres://ada:secret",
            "postgres:secret",
        ] {
            let error = PostgresUrl::parse(wrong).unwrap_err();
            assert!(!error.contains("secret") && error.contains("must be"), "{wrong}: {error}");
        }
    }

    #[test]
    fn sslmode_is_read_as_libpq_does() {
        let roots = || Some(PathBuf::from("/a b/ca.pem"));
        for (query, wire, protection) in [
            ("", SslMode::Prefer, Protection::Encrypted),
            ("?sslmode=disable", SslMode::Disable, Protection::Plain),
            ("?sslmode=require", SslMode::Require, Protection::Encrypted),
            ("?sslmode=verify-full", SslMode::Require, Protection::Verified { host: true, roots: None }),
            (
                "?sslrootcert=/a%20b/ca.pem&sslmode=verify-ca",
                SslMode::Require,
                Protection::Verified { host: false, roots: roots() },
            ),
            (
                "?sslmode=require&sslrootcert=/a%20b/ca.pem&connect_timeout=3",
                SslMode::Require,
                Protection::Verified { host: false, roots: roots() },
            ),
        ] {
            let url = PostgresUrl::parse(&format!("postgres://db/feeds{query}")).unwrap();
            assert_eq!((url.config.get_ssl_mode(), url.protection), (wire, protection), "{query}");
        }
    }
}
