//! The command line: it parses, calls one command, and turns the result into an exit status.
//!
//! Invariant: the status is 0 when the command is done, 1 when it failed, 2 when flags or configuration cannot be used.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use eddyline::commands::{
    cluster, config, db, demo, explain, explained, health, import, model, replay, serve, simulate, token, train,
};
use eddyline::config::ConfigError;
use eddyline::process::say;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A recommender server that learns online and pushes new feeds.
///
/// An actor holds the model of each active user. When a user acts, their actor learns, ranks again, and pushes the new feed
/// to each of their open sockets. Without a command, `demo` runs: a simulated network, live bots and a page.
#[derive(Parser)]
#[command(name = "eddyline", version, arg_required_else_help = false)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
// A run makes one value of this type, so its size does not matter.
#[allow(clippy::large_enum_variant)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Simulate(simulate::Args),
    Import(import::Args),
    Replay(replay::Args),
    Train(train::Args),
    Cluster(cluster::Args),
    #[command(subcommand)]
    Db(db::Command),
    Explain(explain::Args),
    #[command(subcommand)]
    Token(token::Command),
    #[command(subcommand)]
    Model(model::Command),
    #[command(subcommand)]
    Config(config::Command),
    Health(health::Args),
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Import(args) => import::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Train(args) => train::run(args),
        Command::Cluster(args) => cluster::run(args),
        Command::Db(command) => db::run(command),
        Command::Explain(args) => explain::run(args),
        Command::Token(command) => token::run(command),
        Command::Model(command) => model::run(command),
        Command::Config(command) => config::run(command),
        Command::Health(args) => health::run(&args),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command.unwrap_or_else(|| Command::Demo(demo::Args::default()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("eddyline: {}", explained(&error)));
            ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_and_flag_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
