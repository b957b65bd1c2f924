//! `eddyline demo`: a simulated network with live bots, the page, and no other server.
//!
//! Invariant: an existing directory is gone on with, never overwritten; bots act through the same door to the actors as
//! everybody else.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use crate::actors::Server;
use crate::actors::clock::Clock;
use crate::actors::server::{ItemDraft, UserEvent};
use crate::actors::session::SessionSettings;
use crate::commands::loader::Loader;
use crate::commands::progress;
use crate::config::Config;
use crate::domain::ids::{Key, UserId};
use crate::domain::interactions::Interaction;
use crate::domain::time::{DAY_MS, Millis};
use crate::domain::windows::Windows;
use crate::embed::Embedder;
use crate::engine::coordinator::Draft;
use crate::simulate::bots::{Bot, BotAction, BotItem};
use crate::simulate::history::{Activity, History, Verb};
use crate::simulate::network::{Network, PersonIndex};
use crate::store::Store;

/// How many of the people act live.
const BOTS_MAX: usize = 12;
/// Days of history before now.
const DAYS: u32 = 7;

/// Fills an empty store with a week of a simulated network.
///
/// # Errors
/// What the simulation or the store says.
pub async fn fill(
    store: Arc<dyn Store>,
    embedder: Arc<dyn Embedder>,
    config: &Config,
    network: &Network,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let now = clock.now();
    let history = History::new(network, now.plus(-i64::from(DAYS) * DAY_MS), DAYS, network.seed())?;
    let mut loader = Loader::open(store, embedder, config, now).await?;
    for person in network.people() {
        loader.person(&person.key, Some(&person.name));
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

/// Brings one activity in.
///
/// # Errors
/// What the embedder or the store says.
pub async fn take(loader: &mut Loader, activity: &Activity, id: &Key) -> anyhow::Result<()> {
    let Activity { actor, verb, object, time, message, topic, kind, dwell_ms, .. } = activity;
    let user = loader.person(actor, None);
    let event = match verb {
        Verb::Post => {
            let author = loader.author(actor);
            let topics = topic.map(|topic| Key::new(topic.name())).transpose()?.map(|key| vec![key]);
            let draft = Draft {
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

/// Lets some of the people go on acting, each in their own time, for as long as the server runs.
pub fn let_bots_act(server: &Server, network: &Arc<Network>, seed: u64) {
    let people = network.people().len();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Not the first ones: those are for visitors to pick.
    let first = if people > 2 * BOTS_MAX { BOTS_MAX } else { 0 };
    for chosen in index::sample(&mut random, people - first, BOTS_MAX.min(people - first)) {
        let person = PersonIndex((first + chosen) as u32);
        let Some(user) = server.people().find(network.person(person).key.as_str()) else { continue };
        // A seed of its own per run: the same week, but not the same day again.
        let bot = Bot::new(network.clone(), person, seed ^ server.clock().now().0 as u64);
        actix::spawn(live(server.clone(), bot, user));
    }
}

async fn live(server: Server, mut bot: Bot, user: UserId) {
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
        if let Err(refusal) = act(&server, user, id, bot.react(&items, now), now).await {
            tracing::debug!(%refusal, "a bot was refused");
        }
    }
}

async fn act(
    server: &Server,
    user: UserId,
    id: Key,
    action: Option<BotAction>,
    now: Millis,
) -> Result<(), crate::protocol::refusal::Refusal> {
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
