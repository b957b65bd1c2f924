//! Flags that several commands share: the configuration, the store or server that holds keys and models, and times.
//!
//! Invariant: [`ConfigArgs::start`] is the only place that starts the log, so each command calls it once and first.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, Flags, LogFormat, unknown_variables};
use crate::domain::time::Millis;
use crate::domain::timestamps;
use crate::process::Stderr;

/// Largest number of unknown variables that the warning names; the warning counts all further ones.
const NAMED_MAX: usize = 20;

/// The configuration file, and how strictly the command reads the environment.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigArgs {
    /// A TOML file; `EDDYLINE_*` variables and flags override it.
    #[arg(long, env = "EDDYLINE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refuse `EDDYLINE_*` variables that set nothing, instead of naming them in the log.
    #[arg(long)]
    pub strict: bool,
}

/// Flags for the place of keys, tokens and models: a Postgres store, an embedded store that no server has open, or a
/// running server.
#[derive(Clone, Debug, clap::Args)]
pub struct AccessArgs {
    /// A running server; `EDDYLINE_TOKEN` holds a service token for it.
    #[arg(long, value_name = "URL", conflicts_with = "store")]
    pub url: Option<String>,
    /// `file:DIR` or `postgres://…`.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// The configuration, which names the store where `--store` does not.
    #[command(flatten)]
    pub config: ConfigArgs,
}

impl ConfigArgs {
    /// Reads the configuration. The second value is a warning that names `EDDYLINE_*` variables without a setting, if
    /// there are any.
    ///
    /// # Errors
    /// A setting cannot be used; with `--strict`, a variable `EDDYLINE_*` has no setting.
    pub fn load(&self, flags: &Flags) -> Result<(Config, Option<String>), ConfigError> {
        let unknown = unknown_variables();
        let more = unknown.len().saturating_sub(NAMED_MAX);
        let mut names = unknown.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        if more > 0 {
            names = format!("{names} and {more} more");
        }
        if self.strict && !unknown.is_empty() {
            let rule = "no setting has this name: unset the variable, or leave out --strict";
            return Err(ConfigError::new(names, rule));
        }
        let config = Config::load(self.config.as_deref(), flags)?;
        let warning = (!unknown.is_empty())
            .then(|| format!("variables that set nothing are ignored: {names}; with --strict they are refused"));
        Ok((config, warning))
    }

    /// Reads the configuration and starts the log on standard error.
    ///
    /// # Errors
    /// The setting that cannot be used.
    pub fn start(&self, flags: &Flags) -> Result<Config, ConfigError> {
        let (config, warning) = self.load(flags)?;
        let filter = EnvFilter::try_from_env("EDDYLINE_LOG")
            .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,refinery_core=warn"));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .with_writer(|| Stderr)
            // tracing reports a line that it cannot write by `eprintln!`, which panics on a broken standard error.
            .log_internal_errors(false);
        match config.log_format {
            LogFormat::Text => log.with_target(false).init(),
            LogFormat::Json => log.json().init(),
        }
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }

    /// Reads the configuration with `--store` and starts the log.
    ///
    /// # Errors
    /// The setting that cannot be used.
    pub fn start_with_store(&self, store: Option<String>) -> Result<Config, ConfigError> {
        self.start(&Flags { listen: None, store })
    }
}

/// A time on the command line that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeArgError {
    /// The flag takes RFC 3339 only.
    #[error("must be RFC 3339, such as 2026-01-05T00:00:00Z")]
    Rfc3339,
    /// The flag takes all forms in which requests write an instant.
    #[error(
        "must be 2026-01-05T12:00:00Z, 2026-01-05 12:00:00 (UTC) or milliseconds since 1970, in the years 1 to 9999"
    )]
    Instant,
}

/// Reads RFC 3339.
///
/// # Errors
/// The form that a time must have.
pub fn rfc3339(text: &str) -> Result<Millis, TimeArgError> {
    timestamps::parse(text).ok_or(TimeArgError::Rfc3339)
}

/// Reads an instant in any form that requests take.
///
/// # Errors
/// The forms that an instant may have.
pub fn instant(text: &str) -> Result<Millis, TimeArgError> {
    crate::gateway::timestamps::parse("--at", text).map_err(|_| TimeArgError::Instant)
}
