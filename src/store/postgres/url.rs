//! The address of the database and the protection of its connections.
//!
//! Invariant: the password is in no error and in no output of `Debug`, `Display` or `Serialize`.
//! Absent on purpose: connecting.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// Application name of connections, unless the address sets another one.
pub(super) const PROGRAM: &str = "eddyline";

/// `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=…&sslrootcert=…]`, with the semantics of libpq.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    pub(super) config: Config,
    pub(super) protection: Protection,
}

/// Parameter `sslmode`, with the semantics of libpq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// `disable`: no encryption.
    Plain,
    /// `prefer` (the default) and `require`: encryption without a check of the certificate. Without TLS on the server,
    /// `prefer` falls back to plain connections and `require` fails.
    Encrypted,
    /// `verify-ca`: a trusted CA signed the certificate. `verify-full`: the certificate also names the host.
    Verified {
        /// Whether the certificate must name the host.
        host: bool,
        /// Parameter `sslrootcert`: file of trusted CA certificates; `None` trusts those of the machine.
        roots: Option<PathBuf>,
    },
}

/// Reason for which an address does not parse. No variant holds the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// The address does not have the form of a Postgres URL.
    #[error(
        "must be postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=verify-full], with other characters than \
         letters and digits in USER and PASSWORD written as %XX"
    )]
    Form,
    /// Parameter `sslmode` has an unknown value.
    #[error("sslmode must be disable, prefer, require, verify-ca or verify-full")]
    SslMode,
}

impl PostgresUrl {
    /// Whether a text has a scheme of Postgres.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres:") || text.starts_with("postgresql:")
    }

    /// Parses an address.
    ///
    /// # Errors
    /// The expected form. The error does not repeat the address, which may hold a password.
    pub fn parse(text: &str) -> Result<PostgresUrl, PostgresUrlError> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut roots, mut rest) = (String::from("prefer"), None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(PostgresUrlError::Form)?;
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
            // As in libpq, a named certificate file turns the check on.
            "require" | "verify-ca" => (SslMode::Require, Protection::Verified { host: false, roots }),
            "verify-full" => (SslMode::Require, Protection::Verified { host: true, roots }),
            _ => return Err(PostgresUrlError::SslMode),
        };
        let plain = if rest.is_empty() { address.to_owned() } else { format!("{address}?{}", rest.join("&")) };
        let mut config = Config::from_str(&plain).map_err(|_| PostgresUrlError::Form)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(PostgresUrlError::Form);
        }
        config.ssl_mode(on_the_wire);
        if config.get_application_name().is_none() {
            config.application_name(PROGRAM);
        }
        Ok(PostgresUrl { text: text.to_owned(), config, protection })
    }

    /// Configuration for a driver: hosts, user, encryption. [`super::tls::connector`] checks certificates.
    #[must_use]
    pub fn driver(&self) -> &Config {
        &self.config
    }
}

/// Parameters without a secret, which `Display` shows.
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
        // The last `@`: half of a password with an unescaped `@` must not be shown.
        let (user, place) = address
            .rsplit_once('@')
            .map_or(("", address), |(login, place)| (login.split_once(':').map_or(login, |(user, _)| user), place));
        let is_shown = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            // Decoded as the driver does, since letters may be escaped. `options` may hold any setting, so it is
            // hidden.
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
            assert_eq!(url.text, text);
        }
        for wrong in [
            "postgres://ada:secret@db:port/feeds",
            "postgres://ada:secret@db/feeds?sslmode=secret",
            "postgres://ada:secret@db/feeds?secret=1",
            "postgres://ada:secret",
            "postgres:secret",
        ] {
            let error = PostgresUrl::parse(wrong).unwrap_err();
            let error = error.to_string();
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
