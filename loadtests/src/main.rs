//! Simulates many users against an Eddyline server, checks every answer, and prints percentiles.
//!
//! Invariant: the load is open-loop: interaction `k` is due at `start + k / rate`, regardless of the server. Every
//! latency counts from that instant, so that coordinated omission is impossible. The exit status is 0 when the server
//! kept every promise, 1 when it broke one, 2 for wrong usage.
//!
//! Reading order: `target` (the address), `people` (the users), `list` (their feeds), `person` (their behaviour and
//! checks), `socket` (transport), `tally` (the report). Three other modes follow: `go_live` measures how fast a change of
//! availability reaches the feeds that it concerns. `recommend` measures recommendations over HTTP. `queries` measures single
//! requests over a large catalogue.

#[cfg(test)]
mod fake;
mod go_live;
mod limits;
mod list;
mod people;
mod person;
mod queries;
mod recommend;
mod socket;
mod tally;
mod target;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Parser;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{Semaphore, mpsc};

use person::Person;
use socket::Shared;
use tally::{Check, Run, Tally};
use target::Target;

/// Interactions that may wait for one user; beyond, this machine or the network is too slow.
const ACTS_MAX: usize = 4_096;

/// Simulates many users against an Eddyline server, checks every answer, and prints percentiles.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// WebSocket URL of the server.
    #[arg(long, default_value = "ws://127.0.0.1:8080")]
    url: String,
    /// Number of users, with one socket each.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sockets: u32,
    /// Interactions per second, of all users together; 0 only holds the sockets open.
    #[arg(long, default_value_t = 500.0, value_parser = rate)]
    rate: f64,
    /// Duration of the load.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Prefix of the users' keys; letters, digits, `.`, `_` and `-`.
    #[arg(long, default_value = "load-", value_parser = prefix)]
    people_prefix: String,
    /// Seed of the choices of user, kind and item.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Items per feed.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Seconds to wait at the end for outstanding answers.
    #[arg(long, default_value_t = 10)]
    grace: u32,
    /// Sockets that may be opening at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connects: u32,
    /// Write the result as JSON; `-` is standard output.
    #[arg(long)]
    json: Option<String>,
    /// Instead of interactions: take one item on air and off again so many times. Measures from the request to the last
    /// push of all whose feed it changes.
    #[arg(long, value_name = "ROUNDS", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    go_live: Option<u32>,
    /// With `--go-live`: the share of users who learn to like that item.
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    concerned: f64,
    /// Instead of interactions: create so many posts, give the users a history, and ask for recommendations over HTTP.
    /// Uses the rate of `--rate`, and no sockets.
    #[arg(long, value_name = "POSTS", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    recommend: Option<u32>,
    /// With `--recommend`: the ranking.
    #[arg(long, default_value = "model", value_parser = ["flat", "topics", "model", "tower"])]
    ranking: String,
    /// With `--recommend`: ask for the state of a second ago, through the time machine.
    #[arg(long)]
    past: bool,
    /// Instead of interactions: create so many items, and measure searches, similar items and recommendations one at a time.
    #[arg(long, value_name = "ITEMS", value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    queries: Option<u32>,
    /// With `--queries`: requests per kind.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,
    /// With `--queries`: a process whose processor time is reported, with its children: the server, and the Postgres of its
    /// store. Can be repeated.
    #[arg(long)]
    pid: Vec<u32>,
    /// Allow a target other than this machine. Only for machines of your own.
    #[arg(long)]
    anywhere: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1e6).contains(&rate) => Ok(rate),
        _ => Err("must be a number from 0 to 1000000".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".into()),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if plain && (1..=200).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 200 letters, digits, `.`, `_` or `-`".into())
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("loadtests: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<bool> {
    let target = Target::find(&args.url, args.anywhere)?;
    let sockets = usize::try_from(args.sockets)?;
    if let Some(said) = limits::make_room(sockets)? {
        eprintln!("loadtests: {said}");
    }
    let keys: Arc<[_]> = people::names(&args.people_prefix, sockets)?.into();
    people::make_known(&target, keys.clone()).await?;

    if let Some(items) = args.queries {
        queries::check(&args.pid)?;
        let (items, requests) = (usize::try_from(items)?, usize::try_from(args.requests)?);
        let plan = queries::Plan { prefix: args.people_prefix, items, requests, processes: args.pid, seed: args.seed };
        return queries::run(target, keys, plan, args.json.as_deref()).await;
    }
    if let Some(posts) = args.recommend {
        let (prefix, load) = (args.people_prefix, Duration::from_secs(args.seconds.into()));
        let (posts, rate, limit, seed) = (usize::try_from(posts)?, args.rate, args.limit, args.seed);
        let plan = recommend::Plan { prefix, posts, rate, load, limit, ranking: args.ranking, past: args.past, seed };
        return recommend::run(target, keys, plan, args.json.as_deref()).await;
    }
    let shared = Arc::new(Shared {
        target,
        tally: Tally::new()?,
        connects: Semaphore::new(usize::try_from(args.connects)?),
        limit: args.limit,
        grace: Duration::from_secs(args.grace.into()),
    });
    if let Some(rounds) = args.go_live {
        let plan = go_live::Plan { prefix: args.people_prefix, rounds, concerned: args.concerned };
        return go_live::run(shared, keys, plan, args.json.as_deref()).await;
    }
    // Ids contain the time, since a second run with an equal seed must not look like a resend of the first.
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let (ready, mut readies) = mpsc::channel(1_024);
    let mut acts = Vec::with_capacity(sockets);
    let mut people = tokio::task::JoinSet::new();
    for (index, key) in keys.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
        // One random stream per user: choices do not depend on the scheduling of tasks.
        rng.set_stream(index as u64 + 1);
        let person = Person::new(key.clone(), format!("{started:x}"), rng);
        let (act, due) = mpsc::channel(ACTS_MAX);
        acts.push(act);
        people.spawn(socket::live(person, shared.clone(), due, ready.clone()));
    }
    drop(ready);

    let progress = progress(shared.clone());
    let mut opened = 0;
    while let Some(open) = readies.recv().await {
        opened += usize::from(open);
    }
    if opened == 0 {
        people.shutdown().await;
        let why = shared.tally.example(Check::LineStays).unwrap_or_default();
        bail!("no socket could be opened at {}: {why}", args.url);
    }

    let begin = Instant::now();
    let plan = Plan { rate: args.rate, load: Duration::from_secs(args.seconds.into()), seed: args.seed };
    let tallied = shared.clone();
    // `acts` is dropped after the last interaction, which ends the users' sessions.
    tokio::task::spawn_blocking(move || schedule(&plan, begin, &acts, &tallied.tally)).await?;
    let load = begin.elapsed();
    while let Some(done) = people.join_next().await {
        done.context("a simulated person crashed: a bug of the load generator")?;
    }
    if let Some(progress) = progress {
        progress.abort();
        eprintln!();
    }

    let run = Run { url: args.url, sockets, rate: args.rate, load, seed: args.seed };
    let (table, json) = (shared.tally.table(&run), shared.tally.json(&run));
    report(args.json.as_deref(), &table, &json)?;
    Ok(shared.tally.failures() == 0)
}

/// Sends each interaction at its time to a user chosen by the seed. Runs on a thread of its own: the runtime's timer is
/// exact to a millisecond, a sleeping thread to some tens of microseconds.
fn schedule(plan: &Plan, begin: Instant, acts: &[mpsc::Sender<Instant>], tally: &Tally) {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    // The product of a checked rate and a checked duration is far below 2^53.
    let total = (plan.rate * plan.load.as_secs_f64()).floor() as u64;
    for number in 0..total {
        let due = begin + Duration::from_secs_f64(number as f64 / plan.rate);
        // After a stall all due interactions go out at once, which keeps the rate.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let who = rng.random_range(0..acts.len());
        if let Some(act) = acts.get(who)
            && let Err(error) = act.try_send(due)
        {
            let why = match error {
                mpsc::error::TrySendError::Full(_) => "too many wait: this machine cannot keep up",
                mpsc::error::TrySendError::Closed(_) => "their line is gone",
            };
            tally.broke(Check::CouldSend, || format!("person {who}: {why}"));
        }
    }
    std::thread::sleep((begin + plan.load).saturating_duration_since(Instant::now()));
}

/// The schedule of interactions.
struct Plan {
    rate: f64,
    load: Duration,
    seed: u64,
}

/// Prints one line per second, on a terminal only.
fn progress(shared: Arc<Shared>) -> Option<tokio::task::JoinHandle<()>> {
    std::io::stderr().is_terminal().then(|| {
        tokio::spawn(async move {
            let begin = Instant::now();
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                eprint!("\r\x1b[K{}", shared.tally.progress(begin.elapsed()));
            }
        })
    })
}

fn report(json_to: Option<&str>, table: &str, json: &serde_json::Value) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(json)?;
    let mut out = std::io::stdout().lock();
    match json_to {
        Some("-") => {
            // Standard output carries the JSON then.
            eprint!("{table}");
            writeln!(out, "{json}")?;
        }
        Some(path) => {
            out.write_all(table.as_bytes())?;
            std::fs::write(path, json + "\n").with_context(|| format!("--json {path}"))?;
        }
        None => out.write_all(table.as_bytes())?,
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Manner};

    fn broken(manner: Manner) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let directory = std::env::temp_dir().join(format!("loadtests-{}-{manner:?}.json", std::process::id()));
        let ok = runtime.block_on(async {
            let fake = Fake::start(manner).await;
            let args = Args::parse_from([
                "loadtests",
                "--url",
                &fake.url(),
                "--sockets",
                "4",
                "--rate",
                "200",
                "--seconds",
                "1",
                "--grace",
                "1",
                "--json",
                directory.to_str().unwrap(),
            ]);
            run(args).await.unwrap()
        });
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&directory).unwrap()).unwrap();
        std::fs::remove_file(&directory).unwrap();
        assert_eq!(json["counts"]["interactions"], 200, "{manner:?}");
        assert_eq!(json["ok"], ok, "{manner:?}");
        let checks = json["checks"].as_object().unwrap();
        let broken = checks.iter().filter(|(_, check)| check["broken"] != 0);
        broken.map(|(name, _)| name.clone()).collect()
    }

    #[test]
    fn a_server_is_held_to_its_promises() {
        for (manner, expected) in [
            (Manner::Honest, vec![]),
            (Manner::BusyNowAndThen, vec![]),
            (Manner::ForgetsOne, vec!["accepted_all"]),
            (Manner::AcceptsTwice, vec!["accepted_once"]),
            (Manner::NeverPatches, vec!["feed_follows"]),
            (Manner::KeepsHidden, vec!["nothing_hidden"]),
        ] {
            assert_eq!(broken(manner), expected, "{manner:?}");
        }
    }
}
