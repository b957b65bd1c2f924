//! The command line: it parses, calls one command, and turns the result into an exit status.
//!
//! Invariant: the status is 0 when the command is done, 1 when it failed, 2 when flags or configuration cannot be used.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use eddyline::commands::{beside, clusterings, config, db, demo, explain, health, model, serve, status, token};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A recommender server that learns online and pushes new feeds.
///
/// An actor holds the model of each active user. When a user acts, their actor learns, ranks again, and pushes the new feed
/// to each of their open sockets. Without a command, `demo` runs: a simulated network, live bots and a page.
#[derive(Parser)]
#[command(name = "eddyline", version, arg_required_else_help = false, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "a run makes one value of this type")]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    /// Write a simulated network as activities (JSON lines), a log of live viewing, or tables of people, posts and views.
    Simulate(beside::Args),
    /// Load items, events, follows or windows into a store; importing a file twice changes nothing.
    Import(beside::Args),
    /// Evaluate on a log, through the engine that serves.
    Replay(beside::Args),
    /// Train a two-tower model on tables of people, posts and views; see docs/two-tower.md.
    Train(beside::Args),
    /// Find clusters in the rows of a CSV file: their number, means, covariances and members, and the outliers.
    Cluster(beside::Args),
    /// Draw the decay of topic weights under the settings of a server, and the topic weights of a user over time.
    Plots(beside::Args),
    /// Describe a corpus of judged texts: counts, lengths, frequent terms, a projection of the embeddings, near duplicates,
    /// and the separability of each file's labels.
    Explore(beside::Args),
    #[command(subcommand)]
    Db(db::Command),
    Explain(explain::Args),
    #[command(subcommand)]
    Token(token::Command),
    #[command(subcommand)]
    Model(model::Command),
    #[command(subcommand)]
    Clusterings(clusterings::Command),
    #[command(subcommand)]
    Config(config::Command),
    Health(health::Args),
    /// Print the help of a command.
    Help {
        /// The command, for example `replay` or `token create`.
        command: Vec<String>,
    },
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Simulate(args) => beside::run("simulate", args),
        Command::Import(args) => beside::run("import", args),
        Command::Replay(args) => beside::run("replay", args),
        Command::Train(args) => beside::run("train", args),
        Command::Cluster(args) => beside::run("cluster", args),
        Command::Plots(args) => beside::run("plots", args),
        Command::Explore(args) => beside::run("explore", args),
        Command::Db(command) => db::run(command),
        Command::Explain(args) => explain::run(args),
        Command::Token(command) => token::run(command),
        Command::Model(command) => model::run(command),
        Command::Clusterings(command) => clusterings::run(command),
        Command::Config(command) => config::run(command),
        Command::Health(args) => health::run(&args),
        Command::Help { command } => help(&command),
    }
}

/// The program that has the command prints its help: both parse `--help` themselves.
fn help(command: &[String]) -> anyhow::Result<()> {
    let words = std::iter::once("eddyline").chain(command.iter().map(String::as_str)).chain(["--help"]);
    match Cli::try_parse_from(words) {
        // A command of `eddyline-offline` takes `--help` as its own argument.
        Ok(Cli { command: Some(command) }) => run(command),
        Ok(Cli { command: None }) => Ok(()),
        // A request for help ends the process with the text, and an unknown command with the error.
        Err(text) => text.exit(),
    }
}

fn main() -> ExitCode {
    status(run(Cli::parse().command.unwrap_or_else(|| Command::Demo(demo::Args::default()))))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_and_flag_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
