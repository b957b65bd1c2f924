//! `eddyline config check`: the configuration as the server would read it.
//!
//! Invariant: the output holds no secret and no password.

use super::args::ConfigArgs;
use super::output::print;
use crate::config::Flags;
use crate::process::say;

/// Inspect the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check the configuration and print it as JSON without secrets.
    Check {
        /// Flags that select the configuration to check.
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Runs one of the commands.
///
/// # Errors
/// The setting that cannot be used.
pub fn run(command: Command) -> anyhow::Result<()> {
    let Command::Check { config } = command;
    let (config, warning) = config.load(&Flags::default())?;
    if let Some(warning) = warning {
        say(format_args!("{warning}"));
    }
    print(&serde_json::to_string_pretty(&config)?)
}
