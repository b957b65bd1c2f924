//! `eddyline plots`: the decay of topic weights as SVG pictures, under the settings of a server.
//!
//! Invariant: the settings are those that `serve` reads from the file, the variables and the flags. Reads only. Equal
//! settings, journals and times give equal bytes.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use eddyline::actors::clock::{Clock, WallClock};
use eddyline::app;
use eddyline::commands::args::{ConfigArgs, instant};
use eddyline::commands::block_on;
use eddyline::config::Config;
use eddyline::domain::ids::Key;
use eddyline::domain::time::Millis;
use eddyline::engine::learners::person::weight_history::{Changes, WeightHistory};
use eddyline::process::say;
use eddyline::store::recovery::{load_coordinator, read_catalogue, weight_history};
use eddyline_replay::html::decay;

/// Draw the decay of topic weights under the settings of a server, and the topic weights of a user over time.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for `logistic.svg`, `derivative.svg`, `timedecay.svg`, `exampledecay.svg`, and `topics.svg` of a user.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Draw the topic weights of this user, from their journal.
    #[arg(long, value_name = "KEY")]
    user: Option<String>,
    /// End of the user's picture; now by default.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true, requires = "user")]
    at: Option<Millis>,
    /// `file:DIR` of a server that does not run, or `postgres://…`; for `--user`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Draws the pictures into the directory; existing pictures are replaced.
///
/// # Errors
/// The configuration cannot be used, the store has no such user, or a file cannot be written.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = args.config.start_with_store(args.store)?;
    let end = args.at.unwrap_or_else(|| WallClock::default().now());
    let mut files = decay::files(&config.learn);
    if let Some(user) = &args.user {
        let user = Key::new(user).with_context(|| format!("--user {user}"))?;
        let topics = block_on(weights(&config, &user, end))?;
        let drawn = decay::weights_file(user.as_str(), &topics, end.0, &config.learn);
        ensure!(!drawn.is_empty(), "--user {user}: the journal has no topic weights of this user up to then");
        files.push(("topics", drawn));
    }
    fs::create_dir_all(&args.out).with_context(|| format!("--out: cannot make {}", args.out.display()))?;
    for (name, content) in &files {
        let path = args.out.join(format!("{name}.svg"));
        fs::write(&path, content).with_context(|| format!("--out: cannot write {}", path.display()))?;
    }
    say(format_args!("{} pictures in {}", files.len(), args.out.display()));
    Ok(())
}

/// The changes of each topic's weight, by the fold of the user's journal up to `end`.
///
/// # Errors
/// The store fails, or it has no such user.
async fn weights(config: &Config, user: &Key, end: Millis) -> anyhow::Result<Vec<(String, Changes)>> {
    let store = app::open_store(config).await?;
    let (catalogue, people) = read_catalogue(&*store).await?;
    let id = people.iter().find(|person| person.key == *user && !person.erased).map(|person| person.id);
    let id = id.with_context(|| format!("--user {user}: the store has no such user"))?;
    let settings = std::sync::Arc::new(config.learn.clone());
    let coordinator = load_coordinator(&*store, config.dim, settings, catalogue, end).await?;
    let world = coordinator.world();
    let history = weight_history(&*store, id, end, world, WeightHistory::new(usize::MAX)).await?;
    let name = |topic| world.topic(topic).map_or_else(|| "?".to_owned(), |key| key.as_str().to_owned());
    Ok(history.into_changes().into_iter().map(|(topic, changes)| (name(topic), changes)).collect())
}
