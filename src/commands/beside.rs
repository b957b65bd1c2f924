//! Commands of the program `eddyline-offline`, which lies beside this one.
//!
//! Invariant: flags, standard streams and the exit status pass through unchanged.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// All arguments after the name of the command.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// Arguments of the command; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    rest: Vec<OsString>,
}

impl Args {
    /// Arguments that did not come from the command line.
    pub fn of(rest: impl Iterator<Item = OsString>) -> Args {
        Args { rest: rest.collect() }
    }

    /// These arguments after the name of a subcommand.
    #[must_use]
    pub fn after(self, name: &str) -> Args {
        Args::of(std::iter::once(name.into()).chain(self.rest))
    }
}

/// Replaces this process by the program with the offline commands.
///
/// # Errors
/// The program is not built, or the operating system does not start it.
pub fn run(name: &str, args: Args) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("the path of this program")?;
    let program = beside(&own);
    if !program.is_file() {
        bail!(
            "`eddyline {name}` is a command of the program eddyline-offline, which is not in {}: \
             build both with `cargo build --release --workspace`",
            own.parent().unwrap_or(Path::new(".")).display()
        );
    }
    start(Command::new(&program).arg(name).args(args.rest)).with_context(|| program.display().to_string())
}

fn beside(own: &Path) -> PathBuf {
    own.with_file_name(format!("eddyline-offline{EXE_SUFFIX}"))
}

#[cfg(unix)]
fn start(command: &mut Command) -> std::io::Result<()> {
    // `exec` returns only when it fails.
    Err(std::os::unix::process::CommandExt::exec(command))
}

#[cfg(not(unix))]
fn start(command: &mut Command) -> std::io::Result<()> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(1))
}
