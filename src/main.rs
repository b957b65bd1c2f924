//! The command line: read it, do one thing, say in the exit status how it went (0 done, 1 failed, 2 wrong use).
//!
//! Invariant: decides nothing; each command is a few lines around a module of the library.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use eddyline::actors::clock::{Clock, WallClock};
use eddyline::app;
use eddyline::commands::{
    check, cluster, db, demo, dump, explain, explained, health, import, load, loader::Loader, model, off_policy,
    replay, simulate, tables, token, train,
};
use eddyline::config::{Config, ConfigError, Flags, LogFormat, unknown_variables};
use eddyline::domain::ids::{Key, ModelVersion};
use eddyline::domain::time::Millis;
use eddyline::engine::cluster::{Kind, Settings};
use eddyline::gateway::access::{DAYS_DEFAULT, DAYS_MAX};
use eddyline::gateway::timestamps;
use eddyline::process::{Stderr, say};
use eddyline::replay::formats::Columns;
use eddyline::replay::formats::time::{TimeUnit, Times};
use eddyline::replay::off_policy::Judging;
use eddyline::simulate::network::Network;
use eddyline::simulate::tables::TablesSize;
use eddyline::simulate::viewing::ViewingSize;
use eddyline::tables::read::{ROLES, TableOptions};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A recommender server that learns and pushes in one step.
///
/// Every active user is an actor that holds their own model. A person acts, their actor learns, re-ranks, and pushes
/// the new feed down every open socket. Without a command, `demo` runs: a simulated network, live bots and a page.
#[derive(Parser)]
#[command(name = "eddyline", version, arg_required_else_help = false)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
// One of these is made per run.
#[allow(clippy::large_enum_variant)]
enum Command {
    /// A simulated network with live bots on the embedded store; open the page that it prints.
    Demo(DemoArgs),
    /// The server.
    Serve(ServeArgs),
    /// Write a simulated network as activities (JSON lines), a log of live viewing, or tables of people, posts and views.
    Simulate(SimulateArgs),
    /// Bring items, events, follows or windows into a store; the same file twice is there once.
    Import(ImportArgs),
    /// Evaluate on a log, through the very engine that serves.
    Replay(ReplayArgs),
    /// Train a two-tower model on tables of people, posts and views; see docs/two-tower.md.
    ///
    /// The log is parted by time: the first views teach, the next decide when to stop, the last judge. The same tables,
    /// settings and seed give the same model, with any number of threads. A state is kept beside the model, to go on from
    /// with --resume when it was stopped, or with more --epochs. Posts with a text and without an embedding get one from the
    /// configured embedder, as in the server. `--publish` has it serve at once; `eddyline model publish` does it later.
    Train(TrainingArgs),
    /// Find groups in the rows of a CSV file: how many, where, how wide, who is in which, who is in none.
    Cluster(ClusterArgs),
    /// Look after a store.
    #[command(subcommand)]
    Db(DbCommand),
    /// Say what was known of a person at an instant, and what they were shown, with the reasons.
    Explain(ExplainArgs),
    /// Make tokens for clients.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look after two-tower models: publish one, see which there are, go back.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look after the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask a running server whether it is ready: exit status 0 or 1.
    Health {
        /// Its address.
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        url: String,
    },
}

#[derive(Args)]
struct ConfigArgs {
    /// A TOML file; `EDDYLINE_*` variables and flags win over it.
    #[arg(long, env = "EDDYLINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Refuse `EDDYLINE_*` variables that set nothing, instead of naming them in the log.
    #[arg(long)]
    strict: bool,
}

#[derive(Args)]
struct DemoArgs {
    /// Where the embedded store lives; gone on with when it is there.
    #[arg(long, default_value = "eddyline-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: String,
    /// People in the network.
    #[arg(long, default_value_t = 200)]
    people: usize,
    /// Decides names, friends, tastes and texts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Nobody acts but you.
    #[arg(long)]
    no_bots: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Default for DemoArgs {
    fn default() -> Self {
        DemoArgs {
            data_dir: "eddyline-data".into(),
            listen: "127.0.0.1:8080".into(),
            people: 200,
            seed: 1,
            no_bots: false,
            config: ConfigArgs { config: std::env::var_os("EDDYLINE_CONFIG").map(PathBuf::from), strict: false },
        }
    }
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// `file:DIR` or `postgres://…` (with a password rather in `EDDYLINE_STORE`: flags are seen by all of the machine).
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["out", "log", "tables"]))]
struct SimulateArgs {
    /// Where to write `people.jsonl` and `activities.jsonl`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a log of live viewing instead (`user,stream,streamer,start,stop`), compressed when it ends in `.gz` or `.zst`.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// About so many rows of it.
    #[arg(long, default_value_t = 100_000, requires = "log")]
    rows: u64,
    /// Channels in it.
    #[arg(long, default_value_t = 1_500, requires = "log", value_parser = clap::value_parser!(u32).range(1..))]
    channels: u32,
    /// Write tables instead: `user_data`, `post_text_df` and `feed_data`, and beside them `truth.json`, which says how well
    /// the likes of the last fifth of the time can be told by somebody who knows the law that they were drawn from.
    #[arg(long, value_name = "DIR")]
    tables: Option<PathBuf>,
    /// Posts in the tables.
    #[arg(long, default_value_t = 7_000, requires = "tables", value_parser = clap::value_parser!(u32).range(1..))]
    posts: u32,
    /// Views in the tables; each like is a row more.
    #[arg(long, default_value_t = 100_000, requires = "tables", value_parser = clap::value_parser!(u64).range(1..))]
    views: u64,
    /// How the tables are stored.
    #[arg(long, default_value = "csv", requires = "tables")]
    format: simulate::TableFormat,
    /// People in the network, in the log or in the tables.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    people: u32,
    /// Days of history.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    days: u32,
    /// Same seed, same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// First day, RFC 3339.
    #[arg(long, default_value = "2026-01-05T00:00:00Z", value_parser = rfc3339)]
    start: Millis,
}

#[derive(Args)]
struct ImportArgs {
    /// What is read.
    #[arg(long)]
    format: import::Format,
    /// `file:DIR` or `postgres://…` (with a password rather in `EDDYLINE_STORE`: flags are seen by all of the machine).
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Names of columns: `user=…,item=…,time=…`; of plain their positions, from 1.
    #[arg(long, value_name = "ROLE=NAME,…")]
    columns: Option<String>,
    /// Unit of times that are numbers: `s`, `ms`, `us`, `ns` or `step:SECONDS`; by default the size of the first number tells
    /// (9 or 10 digits: seconds; 12 or 13: milliseconds; 16: microseconds; 19: nanoseconds).
    #[arg(long)]
    time_unit: Option<TimeUnit>,
    /// For accepted-rejected: bring the sentences, learn no labels.
    #[arg(long)]
    items_only: bool,
    /// Events on items that are not in the store are passed over; without this they end the command with status 1, after
    /// all others were learned.
    #[arg(long)]
    skip_unknown: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// Files; `.gz` and `.zst` are read as they are.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Args)]
struct TrainingArgs {
    #[command(flatten)]
    train: train::TrainArgs,
    /// Write the figures as JSON; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Publish the model as soon as it is made, as `eddyline model publish` does.
    #[arg(long)]
    publish: bool,
    #[command(flatten)]
    access: AccessArgs,
}

#[derive(Args)]
struct ReplayArgs {
    /// What is read.
    #[arg(long)]
    format: replay::Format,
    /// How it is replayed; by default `labelled` for accepted-rejected and feed, `likes` for tables,
    /// `prequential` for all others.
    #[arg(long)]
    protocol: Option<replay::Protocol>,
    /// Names of columns: `user=…,item=…,time=…`; of plain their positions, from 1.
    #[arg(long, value_name = "ROLE=NAME,…")]
    columns: Option<String>,
    /// Unit of times that are numbers, and what all times are rounded down to: `s`, `ms`, `us`, `ns` or `step:SECONDS`. By
    /// default numbers are steps of ten minutes in live-intervals and seconds in movielens; elsewhere the size of the first
    /// number tells (9 or 10 digits: seconds; 12 or 13: milliseconds; 16: microseconds; 19: nanoseconds). By default times are
    /// rounded down to seconds for plain, feed, movielens and tables, to milliseconds for all others.
    #[arg(long)]
    time_unit: Option<TimeUnit>,
    /// When items are available: CSV `item,start,stop` in the same unit. Without it, and without `--infer-windows`, each
    /// item is available from its first row on; for live-intervals, while anybody is there.
    #[arg(long, value_name = "FILE")]
    windows: Option<PathBuf>,
    /// Infer windows from rows, in time units: rows of an item that follow each other within `gap` are one window
    /// `[first, last + tail)`.
    #[arg(long, value_name = "gap=N,tail=N", conflicts_with = "windows")]
    infer_windows: Option<String>,
    /// What items are about: CSV `item,topic,text,author,created,embedding`, of which only `item` is needed.
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
    /// Names of its columns: `item=…,topic=…`.
    #[arg(long, value_name = "ROLE=NAME,…", requires = "items")]
    item_columns: Option<String>,
    /// The test begins at this time, in the unit or RFC 3339; by default it is the last fifth of the time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "test_last")]
    test_from: Option<String>,
    /// The test is the last so many time units.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    test_last: Option<i64>,
    /// Rank nothing before the test: faster, without figures over time.
    #[arg(long)]
    test_only: bool,
    /// For accepted-rejected: random orders per file; 0: each file once, in its own order.
    #[arg(long, default_value_t = 20)]
    shuffles: u32,
    /// Decides orders, chance and resampling.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Who ranks: `model`, `model_list` (the model's feed after the rules of the list, which shows their price),
    /// `popularity_decayed`, `popularity`, `last_seen`, `most_frequent`, `habit_by_hour`, `random`. By default all but `model_list`.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    rankers: Vec<String>,
    /// For accepted-rejected: a catalogue for each file, instead of one for all.
    #[arg(long)]
    separate: bool,
    /// Threads; figures do not depend on it. By default one per core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// For `off-policy`: policies learn from this first share of the log and are judged on the rest. By default they are
    /// cross-fitted: each fifth of the log is judged by policies that learned from the other four.
    #[arg(long, value_name = "SHARE")]
    split: Option<f64>,
    /// For `off-policy`: lower weights above this to it.
    #[arg(long, value_name = "WEIGHT")]
    clip: Option<f64>,
    /// A two-tower model (safetensors, as `train` writes it) that is evaluated alone and as a part of the blend; for the
    /// protocols likes and likes-last.
    #[arg(long, value_name = "FILE")]
    tower: Option<PathBuf>,
    /// Replay under another setting of `[learn]`: `--set rank.author_run=2`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write the report as JSON; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Files or folders; `.gz` and `.zst` are read as they are.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ClusterKind {
    /// Gaussians, and noise.
    Gaussian,
    /// Student's t with degrees of freedom of their own, and noise.
    StudentT,
}

#[derive(Args)]
struct ClusterArgs {
    /// A file with a header; `.gz` and `.zst` are read as they are.
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
    /// Names of the columns to look at.
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME,…")]
    columns: Vec<String>,
    /// The column with the true groups, to compare with; -1 is an outlier.
    #[arg(long, value_name = "COLUMN")]
    truth: Option<String>,
    /// What groups look like.
    #[arg(long, default_value = "gaussian")]
    kind: ClusterKind,
    /// Groups at most; the report says when there are more.
    #[arg(long, default_value_t = Settings::default().components)]
    components: usize,
    /// Random starts.
    #[arg(long, default_value_t = Settings::default().restarts)]
    restarts: usize,
    /// Decides the random starts.
    #[arg(long, default_value_t = Settings::default().seed)]
    seed: u64,
    /// Threads; 0: as many as there are cores. The groups do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Write the result as JSON; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the first two columns.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Subcommand)]
enum DbCommand {
    /// Fold everybody's journal and compare with what was saved. Reads only.
    Check {
        /// `file:DIR` or `postgres://…`.
        #[arg(long, value_name = "URL")]
        store: Option<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Bring the schema of a Postgres store up to date. The server does so itself when it starts.
    Migrate {
        /// `postgres://…`.
        #[arg(long, value_name = "URL")]
        store: Option<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Version of the schema, rows and bytes per table of a Postgres store. Reads only.
    Status {
        /// `postgres://…`.
        #[arg(long, value_name = "URL")]
        store: Option<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Write everything into one file, from which any kind of store can be made again.
    Dump {
        /// `file:DIR`; its server must not run.
        #[arg(long, value_name = "URL")]
        store: Option<String>,
        /// Compressed when it ends in `.zst` or `.gz`; replaced when it is there.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Fill an empty store from such a file.
    Load {
        /// `file:DIR`; made where it is missing.
        #[arg(long, value_name = "URL")]
        store: Option<String>,
        /// What `dump` wrote.
        #[arg(long = "in", value_name = "FILE")]
        from: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Args)]
struct ExplainArgs {
    /// Their key.
    #[arg(long, value_name = "KEY")]
    user: String,
    /// `2026-01-05T12:00:00Z`, `2026-01-05 12:00:00` (UTC) or milliseconds since 1970; now by default.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    at: Option<Millis>,
    /// Items of the feed.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// `file:DIR`; its server must not run.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Write it as JSON; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Where keys and tokens are: in Postgres, in an embedded store that no server has open, or behind a server.
#[derive(Args)]
struct AccessArgs {
    /// A running server; `EDDYLINE_TOKEN` holds a service token for it.
    #[arg(long, value_name = "URL", conflicts_with = "store")]
    url: Option<String>,
    /// `file:DIR`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Subcommand)]
enum ModelCommand {
    /// Keep a checkpoint that `eddyline train` or PyTorch wrote, and have it serve: prints its version.
    ///
    /// A server takes it up without dropping a request: the one at --url before this returns, one on the same Postgres
    /// database within seconds. A checkpoint for embeddings of another size is refused, and nothing is stored.
    Publish {
        /// The checkpoint, a safetensors file of at most 64 MiB.
        file: PathBuf,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// List the models that are kept, newest first: version, state, when it came, when it last served, size, summary.
    List {
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Go back to the model that served before, or to a version that is still kept: prints which.
    Rollback {
        /// The version; without it the one before that which serves.
        version: Option<u64>,
        #[command(flatten)]
        access: AccessArgs,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Print a new token, and nothing else, on standard output.
    Create {
        /// The person it acts as.
        #[arg(long, required_unless_present = "service", conflicts_with = "service")]
        user: Option<String>,
        /// It acts as anyone.
        #[arg(long)]
        service: bool,
        /// Days until it expires.
        #[arg(long, default_value_t = DAYS_DEFAULT, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
        days: i64,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Refuse a token from now on.
    Revoke {
        /// Its id (`jti`), as `token list` shows it.
        jti: String,
        /// For one that was made elsewhere: until when to remember it, RFC 3339.
        #[arg(long, value_parser = rfc3339)]
        expires: Option<Millis>,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// List tokens that have not expired: id, key, for whom, until when. Tokens themselves are not kept.
    List {
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Make a new key. It signs from now on, and tokens of all others stay valid.
    Rotate {
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Take a key out of use: tokens that it signed are refused from now on.
    Retire {
        /// Its id (`kid`), as `token keys` shows it.
        kid: String,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// List keys; their secrets are not shown.
    Keys {
        #[command(flatten)]
        access: AccessArgs,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check the configuration and print it; secrets are left out.
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

fn rfc3339(text: &str) -> Result<Millis, String> {
    eddyline::domain::timestamps::parse(text).ok_or_else(|| "must be RFC 3339, such as 2026-01-05T00:00:00Z".into())
}

fn instant(text: &str) -> Result<Millis, String> {
    timestamps::parse("--at", text).map_err(|refusal| refusal.message)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command.unwrap_or_else(|| Command::Demo(DemoArgs::default()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("eddyline: {}", explained(&error)));
            // A configuration that cannot be used is wrong use; everything else failed.
            ExitCode::from(if error.downcast_ref::<ConfigError>().is_some() { 2 } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let clock = WallClock::default();
    match command {
        Command::Demo(args) => {
            let Some(directory) = args.data_dir.to_str() else { bail!("--data-dir: must be UTF-8") };
            let flags = Flags { listen: Some(args.listen.clone()), store: Some(format!("file:{directory}")) };
            let config = configured(&args.config, &flags)?;
            let network = Arc::new(Network::new(args.people, args.seed)?);
            actix_web::rt::System::new().block_on(async {
                let starting = async {
                    let store = app::open_store(&config).await?;
                    let (_, people) = eddyline::store::recovery::read_catalogue(&*store).await?;
                    if people.is_empty() {
                        let embedder = app::open_embedder(&config)?;
                        demo::fill(store.clone(), embedder, &config, &network, &clock).await?;
                    }
                    let running = app::run(&config, store).await?;
                    if !args.no_bots {
                        demo::let_bots_act(&running.server, &network, args.seed);
                    }
                    Ok(running)
                };
                Box::pin(app::Signals::catch()?.serve(starting)).await
            })
        }
        Command::Serve(args) => {
            let config = configured(&args.config, &Flags { listen: args.listen, store: args.store })?;
            actix_web::rt::System::new().block_on(async {
                let starting = async { app::run(&config, app::await_store(&config).await?).await };
                app::Signals::catch()?.serve(starting).await
            })
        }
        Command::Simulate(args) => {
            if let Some(path) = args.log {
                let size =
                    ViewingSize { rows: args.rows, people: args.people, channels: args.channels, days: args.days };
                let count = simulate::viewing(&path, size, args.seed)?;
                say(format_args!("{count} visits of {} people in {}", args.people, path.display()));
            }
            if let Some(out) = args.tables {
                let size = TablesSize { people: args.people, posts: args.posts, views: args.views, days: args.days };
                let truth = simulate::tables(&out, size, args.seed, args.start, args.format)?;
                print(&simulate::said(&truth, &out))?;
            }
            if let Some(out) = args.out {
                let count = simulate::run(&out, args.people as usize, args.days, args.seed, args.start)?;
                say(format_args!("{count} activities of {} people in {}", args.people, out.display()));
            }
            Ok(())
        }
        Command::Import(args) => {
            let config = configured(&args.config, &Flags { listen: None, store: args.store })?;
            // A database is asked by a driver that waits, so this cannot happen below.
            let tables = if args.format == import::Format::Tables {
                Some(read_tables(&args.paths, args.columns.as_deref(), args.time_unit, config.dim)?)
            } else {
                None
            };
            let skip_unknown = args.skip_unknown;
            let brought = blocking(async {
                let store = app::open_store(&config).await?;
                let now = clock.now();
                let loader = Loader::open(store, app::open_embedder(&config)?, &config, now).await?;
                if let Some(tables) = tables {
                    return import::tables(loader, &tables).await;
                }
                let options = import::Options {
                    format: args.format,
                    paths: args.paths,
                    columns: args.columns,
                    times: Times::of(args.time_unit),
                    items_only: args.items_only,
                    dim: config.dim,
                };
                import::run(loader, options, now).await
            })?;
            say(format_args!(
                "{}{} items, {} events learned, {} known before, {} on unknown items",
                brought.windows_said(),
                brought.items,
                brought.learned,
                brought.known,
                brought.unknown_items
            ));
            if brought.late > 0 {
                say(format_args!(
                    "{} of them are older than what their person had learned before this command: they were learned after it, \
                     as if they were its last; import logs in the order of time, or all of them in one command",
                    brought.late
                ));
            }
            if brought.unknown_items > 0 {
                let named: Vec<String> =
                    brought.unknown_named.iter().map(|(item, count)| format!("{item} ({count})")).collect();
                let said = format!(
                    "{} events were not learned, since they are on items that are not there; the first of these items, and \
                     the events on each: {}",
                    brought.unknown_items,
                    named.join(", ")
                );
                if !skip_unknown {
                    bail!("{said}. Import the items and then the same file again, or say --skip-unknown");
                }
                say(format_args!("{said}"));
            }
            Ok(())
        }
        Command::Train(args) => {
            let AccessArgs { url, store, config } = args.access;
            let config = configured(&config, &Flags { listen: None, store })?;
            let report = train::run(&args.train, &config, clock.now())?;
            if args.json.as_deref().is_none_or(|path| path.as_os_str() != "-") {
                print(&report.table())?;
            }
            write_json(args.json, &report)?;
            if args.publish {
                let task = model::Task::publish(&args.train.out)?;
                let version = look_after_models(url, &config, task, &clock)?;
                say(format_args!("published as version {}", version.trim_end()));
            }
            Ok(())
        }
        Command::Replay(args) => {
            let mut config = configured(&args.config, &Flags::default())?;
            config.set_learn(&args.set)?;
            if args.format == replay::Format::OpenBandit {
                let judging = Judging { split: args.split, clip: args.clip, folds: 5, seed: args.seed };
                let report = off_policy::open_bandit(&args.paths, &config, judging)?;
                if args.json.as_deref().is_none_or(|path| path.as_os_str() != "-") {
                    print(off_policy::table(&report).trim_end())?;
                }
                return write_json(args.json, &report);
            }
            let cores = || std::thread::available_parallelism().map_or(1, usize::from);
            let options = replay::Options {
                format: args.format,
                protocol: args.protocol,
                paths: args.paths,
                columns: args.columns,
                unit: args.time_unit,
                windows: args.windows,
                infer_windows: args.infer_windows,
                items: args.items,
                item_columns: args.item_columns,
                test_from: args.test_from,
                test_last: args.test_last,
                test_only: args.test_only,
                shuffles: args.shuffles,
                rankers: args.rankers,
                separate: args.separate,
                seed: args.seed,
                threads: args.threads.map_or_else(cores, usize::from),
            };
            let tower = args.tower.as_deref().map(|path| replay::read_tower(path, config.dim)).transpose()?;
            let report = replay::run(&options, &config, tower.as_ref())?;
            if args.json.as_deref().is_none_or(|path| path.as_os_str() != "-") {
                print(replay::table(&report).trim_end())?;
            }
            if let Some(path) = args.html {
                let written = std::fs::write(&path, replay::page(&report));
                written.with_context(|| format!("--html: cannot write {}", path.display()))?;
            }
            write_json(args.json, &report)
        }
        Command::Cluster(args) => cluster_command(args),
        Command::Db(DbCommand::Check { store, config }) => {
            let config = configured(&config, &Flags { listen: None, store })?;
            let found = blocking(async { check::check(app::open_store(&config).await?, &config, clock.now()).await })?;
            say(format_args!(
                "{} people, {} entries, {} snapshots equal the fold, {} set aside, {} wrong",
                found.people,
                found.entries,
                found.snapshots_equal,
                found.snapshots_set_aside,
                found.wrong.len()
            ));
            for wrong in &found.wrong {
                say(format_args!("wrong: {wrong}"));
            }
            if found.wrong.is_empty() { Ok(()) } else { bail!("the store is not what the journal says") }
        }
        Command::Db(DbCommand::Migrate { store, config }) => {
            let config = configured(&config, &Flags { listen: None, store })?;
            let (before, after) = blocking(db::migrate(&config))?;
            say(format_args!("schema version {after}, was {before}"));
            Ok(())
        }
        Command::Db(DbCommand::Status { store, config }) => {
            let config = configured(&config, &Flags { listen: None, store })?;
            print(db::status(&config)?.to_string().trim_end())
        }
        Command::Db(DbCommand::Dump { store, out, config }) => {
            let config = configured(&config, &Flags { listen: None, store })?;
            let end = blocking(async { dump::dump(&*app::open_store(&config).await?, &out).await })?;
            say(format_args!("{} lines, {} of them journal entries, in {}", end.lines, end.entries, out.display()));
            Ok(())
        }
        Command::Db(DbCommand::Load { store, from, config }) => {
            let config = configured(&config, &Flags { listen: None, store })?;
            let end = blocking(async { load::load(&*app::open_store_to_load(&config).await?, &from).await })?;
            say(format_args!("{} lines, {} of them journal entries, from {}", end.lines, end.entries, from.display()));
            Ok(())
        }
        Command::Explain(args) => {
            let config = configured(&args.config, &Flags { listen: None, store: args.store })?;
            let user = Key::new(&args.user).context("--user")?;
            let explanation = blocking(async {
                let store = app::open_store(&config).await?;
                let now = clock.now();
                explain::explain(&*store, &config, &user, args.at.unwrap_or(now), args.limit, now).await
            })?;
            if args.json.as_deref().is_none_or(|path| path.as_os_str() != "-") {
                print(explain::table(&explanation).trim_end())?;
            }
            write_json(args.json, &explanation)
        }
        Command::Token(command) => token_command(command, &clock),
        Command::Model(command) => model_command(command, &clock),
        Command::Config(ConfigCommand::Check { config }) => {
            let (config, said) = loaded(&config, &Flags::default())?;
            if let Some(said) = said {
                say(format_args!("{said}"));
            }
            print(&serde_json::to_string_pretty(&config)?)
        }
        Command::Health { url } => health::ask(&url),
    }
}

fn read_tables(
    paths: &[PathBuf],
    columns: Option<&str>,
    unit: Option<TimeUnit>,
    dim: usize,
) -> anyhow::Result<eddyline::tables::Tables> {
    let [place] = paths else { bail!("PATH: give one folder, posts=FILE,feed=FILE[,people=FILE], or postgres://…") };
    let columns = columns.map(|text| Columns::parse(text, &ROLES)).transpose().context("--columns")?;
    let times = Times::of(unit);
    let options = TableOptions { columns: columns.unwrap_or_default(), times, dim: Some(dim), dim_of_texts: None };
    tables::open(place.to_str().context("PATH: must be UTF-8")?, &options)
}

fn cluster_command(args: ClusterArgs) -> anyhow::Result<()> {
    let kind = match args.kind {
        ClusterKind::Gaussian => Kind::Gaussian,
        ClusterKind::StudentT => Kind::StudentT,
    };
    let (components, restarts, seed) = (args.components, args.restarts, args.seed);
    let settings = Settings { kind, components, restarts, seed, ..Settings::default() };
    let ClusterArgs { csv, columns, truth, threads, .. } = args;
    let options = cluster::Options { csv, columns, truth, settings, threads };
    if args.svg.is_some() && options.columns.len() < 2 {
        bail!("--svg: a picture needs two columns in --columns");
    }
    let report = cluster::run(&options)?;
    if args.json.as_deref().is_none_or(|path| path.as_os_str() != "-") {
        print(cluster::table(&report, &options.columns).trim_end())?;
    }
    if let Some(path) = &args.svg {
        let drawn = cluster::svg(&report, &options.columns)?;
        std::fs::write(path, drawn).with_context(|| format!("--svg: cannot write {}", path.display()))?;
    }
    write_json(args.json, &report)
}

fn model_command(command: ModelCommand, clock: &WallClock) -> anyhow::Result<()> {
    let (access, task) = match command {
        ModelCommand::Publish { file, access } => (access, model::Task::publish(&file)?),
        ModelCommand::List { access } => (access, model::Task::List),
        ModelCommand::Rollback { version, access } => (access, model::Task::Rollback(version.map(ModelVersion))),
    };
    let config = configured(&access.config, &Flags { listen: None, store: access.store })?;
    print(look_after_models(access.url, &config, task, clock)?.trim_end())
}

fn look_after_models(
    url: Option<String>,
    config: &Config,
    task: model::Task,
    clock: &WallClock,
) -> anyhow::Result<String> {
    match url {
        Some(url) => model::over_http(&url, task),
        None => blocking(model::in_store(config, task, clock.now())),
    }
}

fn token_command(command: TokenCommand, clock: &WallClock) -> anyhow::Result<()> {
    let (access, task) = match command {
        TokenCommand::Create { user, service: _, days, access } => {
            let person = user.map(|user| Key::new(&user).context("--user")).transpose()?;
            (access, token::Task::Create { person, days })
        }
        TokenCommand::Revoke { jti, expires, access } => {
            (access, token::Task::Revoke { jti: Key::new(&jti).context("the token's id")?, expires })
        }
        TokenCommand::List { access } => (access, token::Task::List),
        TokenCommand::Rotate { access } => (access, token::Task::Rotate),
        TokenCommand::Retire { kid, access } => (access, token::Task::Retire(Key::new(&kid).context("the key's id")?)),
        TokenCommand::Keys { access } => (access, token::Task::Keys),
    };
    let config = configured(&access.config, &Flags { listen: None, store: access.store })?;
    let said = match access.url {
        Some(url) => token::over_http(&url, &task)?,
        None => blocking(token::in_store(&config, task, clock.now()))?,
    };
    if said.is_empty() { Ok(()) } else { print(said.trim_end()) }
}

/// Reads the configuration. Also gives a sentence about variables that set nothing, if there are some.
fn loaded(args: &ConfigArgs, flags: &Flags) -> Result<(Config, Option<String>), ConfigError> {
    const NAMED_MAX: usize = 20;
    let unknown = unknown_variables();
    let more = unknown.len().saturating_sub(NAMED_MAX);
    let mut names = unknown.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        names = format!("{names} and {more} more");
    }
    if args.strict && !unknown.is_empty() {
        let rule = "no setting has this name: unset the variable, or leave out --strict".to_owned();
        return Err(ConfigError { key: names, rule });
    }
    let config = Config::load(args.config.as_deref(), flags)?;
    let said = (!unknown.is_empty())
        .then(|| format!("variables that set nothing are passed over: {names}; with --strict they are refused"));
    Ok((config, said))
}

/// Reads the configuration and starts the log on standard error.
fn configured(args: &ConfigArgs, flags: &Flags) -> anyhow::Result<Config> {
    let (config, said) = loaded(args, flags)?;
    let filter = EnvFilter::try_from_env("EDDYLINE_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,refinery_core=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(|| Stderr)
        // Of a line that cannot be written it would say so on standard error, by `eprintln!`.
        .log_internal_errors(false);
    match config.log_format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    if let Some(said) = said {
        tracing::warn!("{said}");
    }
    Ok(config)
}

fn blocking<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn write_json(to: Option<PathBuf>, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    match to {
        None => Ok(()),
        Some(path) if path.as_os_str() == "-" => print(&text),
        Some(path) => std::fs::write(&path, text).with_context(|| format!("--json: cannot write {}", path.display())),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").context("standard output")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_and_flag_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
