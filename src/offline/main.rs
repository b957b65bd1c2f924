//! The offline commands: import, replay, simulate, train, cluster, plots, explore and the export of vectors.
//!
//! `eddyline NAME` runs this program, as `cargo NAME` runs a subcommand of its own. Invariant: the status is 0 when the command is
//! done, 1 when it failed, 2 when flags or configuration cannot be used.
//! Deliberately absent: everything that serves. The server builds without the crates that this program needs for Parquet, for tensors
//! and for reports.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use eddyline::commands::status;
use eddyline_offline::{cluster, embeddings, explore, import, plots, replay, simulate, train};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The offline commands of Eddyline: logs, tables, evaluation and training.
#[derive(Parser)]
#[command(name = "eddyline", bin_name = "eddyline", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "a run makes one value of this type")]
enum Command {
    Simulate(simulate::Args),
    Import(import::Args),
    Replay(replay::Args),
    Train(train::Args),
    Cluster(cluster::Args),
    Plots(plots::Args),
    Explore(explore::Args),
    #[command(subcommand)]
    Model(embeddings::Command),
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Simulate(args) => simulate::run(args),
        Command::Import(args) => import::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Train(args) => train::run(args),
        Command::Cluster(args) => cluster::run(args),
        Command::Plots(args) => plots::run(args),
        Command::Explore(args) => explore::run(args),
        Command::Model(command) => embeddings::run(command),
    }
}

fn main() -> ExitCode {
    status(run(Cli::parse().command))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_and_flag_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
