//! `eddyline demo`: a server with a simulated network, live bots and the page.
//!
//! Invariant: an existing store is continued and never overwritten. Bots act through the public calls of
//! [`Server`], as sessions do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::args::ConfigArgs;
use super::loader::Loader;
use super::progress;
use crate::actors::Server;
use crate::actors::clock::{Clock, WallClock};
use crate::actors::server::{ItemDraft, UserEvent};
use crate::actors::session::SessionSettings;
use crate::app;
use crate::config::{Config, Flags};
use crate::domain::ids::{Key, KeyError, UserId};
use crate::domain::interactions::Interaction;
use crate::domain::journal::Measured;
use crate::domain::time::{DAY_MS, Millis};
use crate::domain::windows::Windows;
use crate::embed::Embedder;
use crate::engine::coordinator::Draft;
use crate::engine::metrics::measured::millionths;
use crate::engine::settings::ClusterSettings;
use crate::simulate::bots::{Bot, BotAction, BotItem};
use crate::simulate::history::{Activity, History, Verb};
use crate::simulate::measures::Measures;
use crate::simulate::network::{Network, PersonIndex};
use crate::store::Store;
use crate::store::recovery::read_catalogue;

/// Simulated users who act live.
const BOTS_MAX: usize = 12;
/// Days of simulated history before the first start.
const DAYS: u32 = 7;

/// Run a simulated network with live bots on the embedded store; open the page that it prints.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the embedded store. The demo continues an existing store.
    #[arg(long, default_value = "eddyline-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: String,
    /// People in the network.
    #[arg(long, default_value_t = 200)]
    people: usize,
    /// Seed of names, friends, interests and texts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start no bots, so that only you act.
    #[arg(long)]
    no_bots: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Default for Args {
    fn default() -> Self {
        Args {
            data_dir: "eddyline-data".into(),
            listen: "127.0.0.1:8080".into(),
            people: 200,
            seed: 1,
            no_bots: false,
            config: ConfigArgs { config: std::env::var_os("EDDYLINE_CONFIG").map(PathBuf::from), strict: false },
        }
    }
}

/// Serves the demo until a signal ends it.
///
/// # Errors
/// The reason why the server cannot start or go on.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Some(directory) = args.data_dir.to_str() else { bail!("--data-dir: must be UTF-8") };
    let mut config =
        args.config.start(&Flags { listen: Some(args.listen), store: Some(format!("file:{directory}")) })?;
    // The people form groups by their times on posts and on channels, not by the time over all.
    if config.cluster.columns == ClusterSettings::default().columns {
        config.cluster.columns = vec!["time_spent.post".into(), "time_spent.channel".into()];
    }
    // A second clustering beside it: the times on posts and on the feed.
    if config.clusterings.is_empty() {
        let columns = vec!["time_spent.post".into(), "time_spent.feed".into()];
        config.clusterings.insert("pages".into(), ClusterSettings { columns, ..ClusterSettings::default() });
    }
    let network = Arc::new(Network::new(args.people, args.seed)?);
    actix_web::rt::System::new().block_on(async {
        let starting = async {
            let store = app::open_store(&config).await?;
            let (_, people) = read_catalogue(&*store).await?;
            if people.is_empty() {
                let embedder = app::open_embedder(&config)?;
                fill(store.clone(), embedder, &config, &network, &WallClock::default()).await?;
            }
            let running = app::run(&config, store).await?;
            let world = running.server.world();
            for (name, _) in world.clusterings().iter().filter(|(_, one)| one.fit.is_none()) {
                running.server.refit(name).await?;
            }
            if !args.no_bots {
                let_bots_act(&running.server, &network, args.seed);
            }
            Ok(running)
        };
        Box::pin(app::Signals::catch()?.serve(starting)).await
    })
}

/// Fills an empty store with a week of a simulated network.
///
/// # Errors
/// The simulation, the embedder or the store fails.
async fn fill(
    store: Arc<dyn Store>,
    embedder: Arc<dyn Embedder>,
    config: &Config,
    network: &Network,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let now = clock.now();
    let history = History::new(network, now.plus(-i64::from(DAYS) * DAY_MS), DAYS, network.seed())?;
    let mut loader = Loader::open(store, embedder, config, now).await?;
    for (number, person) in (0..).zip(network.people()) {
        let user = loader.person(&person.key, Some(&person.name));
        for (kind, value) in Measures::of(network.seed(), number).by_type() {
            let id = Key::new(&format!("measured-{kind}"))?;
            loader.act(user, UserEvent::Measured { id, measured: time_spent(kind, value)?, at: now }).await?;
        }
    }
    let bar = progress::steps("a week of a simulated network, hours", u64::from(history.progress().hours_total));
    let mut history = history;
    let mut number = 0_u64;
    while let Some(activity) = history.next() {
        bar.set_position(u64::from(history.progress().hours));
        number += 1;
        take(&mut loader, &activity, &Key::new(&format!("week-{number}"))?).await?;
    }
    loader.finish().await?;
    bar.finish_and_clear();
    Ok(())
}

/// A measurement of the time on one type of page, in seconds.
fn time_spent(kind: &str, value: f64) -> Result<Measured, KeyError> {
    let (metric, kind) = (Key::new("time_spent")?, Some(Key::new(kind)?));
    Ok(Measured { metric, kind, millionths: millionths(value), replaces: false })
}

/// Loads one simulated activity as a post, an interaction or a follow.
///
/// # Errors
/// The embedder or the store fails.
async fn take(loader: &mut Loader, activity: &Activity, id: &Key) -> anyhow::Result<()> {
    let Activity { actor, verb, object, time, message, topic, kind, dwell_ms, .. } = activity;
    loader.advance(*time);
    let user = loader.person(actor, None);
    let event = match verb {
        Verb::Post => {
            let author = loader.author(actor);
            let topics = topic.map(|topic| Key::new(topic.name())).transpose()?.map(|key| vec![key]);
            let draft = Draft {
                attributes: None,
                key: object.clone(),
                author: Some(author),
                topics,
                text: Some(message.as_str().into()),
                embedding: None,
                created: Some(*time),
                windows: None,
            };
            loader.item(draft).await?;
            loader.settle().await?;
            let Some(item) = loader.offline().world().find_item(object.as_str()) else { return Ok(()) };
            UserEvent::Posted { id: id.clone(), item, at: *time }
        }
        Verb::Interact => {
            loader.settle().await?;
            let Some(item) = loader.offline().world().find_item(object.as_str()) else { return Ok(()) };
            let kind = kind.unwrap_or(crate::domain::interactions::Kind::Like);
            UserEvent::Interacted(Interaction {
                id: id.clone(),
                item,
                kind,
                dwell_ms: *dwell_ms,
                at: *time,
                shown: None,
                passed: Vec::new(),
            })
        }
        Verb::Follow => {
            let target = loader.person(object, None);
            UserEvent::Followed { id: id.clone(), user: target, at: *time }
        }
    };
    loader.act(user, event).await
}

/// Starts a bot for up to [`BOTS_MAX`] simulated users; the bots act as long as the server runs.
fn let_bots_act(server: &Server, network: &Arc<Network>, seed: u64) {
    let people = network.people().len();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Visitors of the page pick from the first users, so no bot takes those.
    let first = if people > 2 * BOTS_MAX { BOTS_MAX } else { 0 };
    for chosen in index::sample(&mut random, people - first, BOTS_MAX.min(people - first)) {
        let person = PersonIndex((first + chosen) as u32);
        let Some(user) = server.people().find(network.person(person).key.as_str()) else { continue };
        // The run's start is a part of the seed, so that a restarted demo does not repeat its day.
        let bot = Bot::new(network.clone(), person, seed ^ server.clock().now().0 as u64);
        let measures = Measures::of(seed, u64::from(person.0));
        actix::spawn(live(server.clone(), bot, user, measures));
    }
}

async fn live(server: Server, mut bot: Bot, user: UserId, measures: Measures) {
    let mut number = 0_u64;
    let run = server.clock().now().0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = server.clock().now();
        if bot.resumes().is_some_and(|resumes| now < resumes) {
            continue;
        }
        let Ok(feed) = server.feed(user, SessionSettings::default()).await else { continue };
        let items: Vec<BotItem> = server
            .wire_items(&feed)
            .into_iter()
            .map(|item| BotItem {
                item: item.item,
                author: item.author,
                topic: item.topic,
                text: item.text,
                position: item.position as u16,
            })
            .collect();
        number += 1;
        let Ok(id) = Key::new(&format!("bot-{run}-{number}")) else { continue };
        let action = bot.react(&items, now);
        let measures = matches!(action, Some(BotAction::Interact { .. })).then_some(measures);
        if let Err(error) = act(&server, user, id, action, now).await {
            tracing::debug!(%error, "the server refused an action of a bot");
        }
        if let Some(measures) = measures
            && let Err(error) = measure(&server, user, run, number, measures).await
        {
            tracing::debug!(%error, "the server refused a measurement of a bot");
        }
    }
}

/// Measures one type of page, each in turn.
async fn measure(server: &Server, user: UserId, run: i64, number: u64, measures: Measures) -> anyhow::Result<()> {
    let [(kind, value), ..] = {
        let mut by_type = measures.by_type();
        by_type.rotate_left((number % 3) as usize);
        by_type
    };
    let id = Key::new(&format!("bot-measured-{run}-{number}"))?;
    let event = UserEvent::Measured { id, measured: time_spent(kind, value)?, at: Millis::ON_ARRIVAL };
    Ok(server.measure(user, vec![event]).await?)
}

async fn act(
    server: &Server,
    user: UserId,
    id: Key,
    action: Option<BotAction>,
    now: Millis,
) -> Result<(), crate::actors::errors::RequestError> {
    match action {
        None | Some(BotAction::Wait) => {}
        Some(BotAction::Interact { item, kind, dwell_ms }) => {
            if let Some(item) = server.world().find_item(item.as_str()) {
                let interaction = Interaction { id, item, kind, dwell_ms, at: now, shown: None, passed: Vec::new() };
                server.act(user, UserEvent::Interacted(interaction)).await?;
            }
        }
        Some(BotAction::Post { text, topic, window }) => {
            let windows = window.and_then(|window| Windows::new(vec![window]).ok());
            let topics = Key::new(topic.name()).ok().map(|key| vec![key]);
            let draft = ItemDraft { topics, text: Some(text), windows, ..ItemDraft::default() };
            server.post(user, id, draft).await?;
        }
    }
    Ok(())
}
