//! `eddyline explain`: the state and the feed of a user at a past instant, for operators.
//!
//! Invariant: the state is the fold of the user's journal up to the instant, and the feed ranks the items that were
//! available then. `GET /post/recommendations?time=` gives an equal answer, and each run gives an equal answer. Reads only.
//! Absent on purpose: popularity, since present popularity was not known then.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use super::args::{ConfigArgs, instant};
use super::block_on;
use super::output::{print_table, write_json};
use crate::actors::clock::{Clock, WallClock};
use crate::actors::models;
use crate::app;
use crate::config::Config;
use crate::domain::feeds::{Expert, Ranking};
use crate::domain::ids::{Key, ModelVersion, Seq};
use crate::domain::time::Millis;
use crate::domain::timestamps;
use crate::engine::rank::RankRequest;
use crate::store::Store;
use crate::store::recovery::{as_of, earlier, load_coordinator, read_catalogue};

/// Print the state of a user at an instant, and their feed with the contribution of each expert.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The user's key.
    #[arg(long, value_name = "KEY")]
    user: String,
    /// `2026-01-05T12:00:00Z`, `2026-01-05 12:00:00` (UTC) or milliseconds since 1970; now by default.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    at: Option<Millis>,
    /// Items of the feed.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// `file:DIR` of a server that does not run, or `postgres://…`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Write the explanation as JSON; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// State and feed of a user at an instant; its JSON is the output of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The user's key.
    pub user: Key,
    /// The instant, milliseconds since 1970.
    pub at: Millis,
    /// Last journal entry before the instant.
    pub seq: Seq,
    /// The two-tower model that took part in the ranking; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_version: Option<ModelVersion>,
    /// The two-tower model that served then, if it was deleted since and another one replaces it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_missing: Option<ModelVersion>,
    /// Topic weights at the instant, the largest first.
    pub topics: Vec<(Key, f32)>,
    /// Accuracy and uncertainty of the user's online model.
    pub model: Model,
    /// Keys of the users whom this user followed.
    pub follows: Vec<Key>,
    /// The last interactions, newest first, at most ten.
    pub history: Vec<Past>,
    /// The feed of the `model` ranking, best item first.
    pub feed: Vec<Row>,
}

/// Accuracy and uncertainty of a user's online model.
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    /// Events with a label.
    pub labelled: u64,
    /// Progressive ROC AUC over the last 256 labelled events, by score.
    pub auc: BTreeMap<&'static str, Option<f32>>,
    /// Progressive mean log loss of the online model.
    pub log_loss: Option<f64>,
    /// Expected calibration error of the online model.
    pub calibration_error: Option<f64>,
    /// Euclidean norm of the mean weights.
    pub weight_norm: f32,
    /// Mean standard deviation of the weights, in units of the prior's: 1 is an untrained model.
    pub uncertainty: f32,
}

/// An interaction of the user.
#[derive(Clone, Debug, Serialize)]
pub struct Past {
    /// Its instant, milliseconds since 1970.
    pub at: Millis,
    /// Name of its kind, such as `like`.
    pub kind: &'static str,
    /// The item's key; `None` for an item that was deleted.
    pub item: Option<Key>,
}

/// An item of the feed.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The item's key.
    pub item: Key,
    /// Key of the main topic.
    pub topic: Option<Key>,
    /// Key of the author.
    pub author: Option<Key>,
    /// The whole text; the table prints its beginning.
    pub text: Arc<str>,
    /// Log-odds; the contributions in `why` sum to it.
    pub score: f32,
    /// Contribution of each expert to the score, by the expert's name.
    pub why: BTreeMap<&'static str, f32>,
}

/// Explains a user's feed and prints the table, the JSON, or both.
///
/// # Errors
/// The store cannot be read, or holds no such user.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = args.config.start_with_store(args.store)?;
    let user = Key::new(&args.user).context("--user")?;
    let now = WallClock::default().now();
    let explanation = block_on(async {
        let store = app::open_store(&config).await?;
        explain(&*store, &config, &user, args.at.unwrap_or(now), args.limit, now).await
    })?;
    print_table(args.json.as_deref(), || table(&explanation))?;
    write_json(args.json, &explanation)
}

/// Explains the feed of a user at an instant. `now` dates the coordinator in memory and does not reach the explanation.
///
/// # Errors
/// The store cannot be read, or holds no such user.
async fn explain(
    store: &dyn Store,
    config: &Config,
    user: &Key,
    at: Millis,
    limit: u32,
    now: Millis,
) -> anyhow::Result<Explanation> {
    let (catalogue, people) = read_catalogue(store).await?;
    let person = people.iter().find(|person| person.key == *user && !person.erased);
    let person = person.with_context(|| format!("--user: no user {user:?} in this store"))?;
    let (attributes, person) = (person.attributes.as_deref().map(Arc::from), person.id);
    let settings = Arc::new(config.engine());
    let mut coordinator = load_coordinator(store, config.dim, settings, catalogue, now).await?;
    models::restore(store, &app::open_models(), &mut coordinator).await?;
    let mut state = as_of(store, person, at, coordinator.world()).await?;
    state.set_attributes(attributes);
    let world = coordinator.world().back_to(at, earlier(store, coordinator.world(), at).await?);
    let past = models::as_of(store, app::open_models(), world, at, models::ModelChoice::Then).await?;
    let (world, model_missing) = (past.world, past.missing);
    let model_version = world.tower().map(|tower| tower.version());
    let settings = world.settings();
    let mut topics: Vec<(Key, f32)> = state
        .topics()
        .all(at, settings.topic_decay())
        .filter_map(|(topic, weight)| Some((world.topic(topic)?.clone(), weight as f32)))
        .collect();
    topics.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let scores = state.scores();
    let auc = [("online", scores.online.auc()), ("topics", scores.topics.auc()), ("model", scores.model.auc())];
    let model = Model {
        labelled: scores.progress.count(),
        auc: auc.into_iter().collect(),
        log_loss: scores.progress.log_loss(),
        calibration_error: scores.progress.ece(),
        weight_norm: state.online().weight_norm(),
        uncertainty: state.online().uncertainty(settings.online()),
    };
    let name = |one: &crate::domain::ids::UserId| people.get(one.0 as usize).filter(|person| !person.erased);
    let follows = state.follows().iter().filter_map(name).map(|person| person.key.clone()).collect();
    let key = |item| world.item(item).map(|item| item.key.clone());
    let history = state.history().iter().rev().take(10);
    let history = history.map(|past| Past { at: past.at, kind: past.kind.name(), item: key(past.item) }).collect();
    let ask = RankRequest { ranking: Ranking::Model, limit: limit as usize, explain: true };
    let feed = state.rank(&world, at, ask).into_iter().filter_map(|one| {
        let item = world.item(one.item)?;
        Some(Row {
            item: item.key.clone(),
            topic: world.topic(item.main_topic()).cloned(),
            author: item.author.as_ref().map(|author| author.key.clone()),
            text: item.text.clone(),
            score: one.score,
            why: one.why.iter().map(|line| (line.expert.name(), line.amount)).collect(),
        })
    });
    let feed = feed.collect();
    let (user, seq) = (user.clone(), state.seq());
    Ok(Explanation { user, at, seq, model_version, model_missing, topics, model, follows, history, feed })
}

/// Formats an explanation as a text for people.
fn table(explanation: &Explanation) -> String {
    let Explanation { user, at, seq, model_version, model_missing, topics, model, follows, history, feed } =
        explanation;
    let mut text = String::new();
    let figure = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.3}"));
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{user} at {}: {} events, {} of them labelled", utc(*at), seq.0, model.labelled);
    let auc: Vec<String> =
        model.auc.iter().map(|(name, auc)| format!("{name} {}", figure(auc.map(f64::from)))).collect();
    let _ = writeln!(text, "\nmodel");
    let _ = writeln!(text, "  auc          {}", auc.join(", "));
    let _ = writeln!(text, "  log loss     {}", figure(model.log_loss));
    let _ = writeln!(text, "  calibration  {} expected error", figure(model.calibration_error));
    let _ = writeln!(text, "  uncertainty  {:.3} of the prior's", model.uncertainty);
    let _ = writeln!(text, "  weights      {:.3} long", model.weight_norm);
    if let Some(version) = model_version {
        let _ = writeln!(text, "  two-tower    version {}", version.0);
    }
    if let Some(version) = model_missing {
        let _ = writeln!(text, "               version {} served then and was deleted since", version.0);
    }
    let _ = writeln!(text, "\ntopics{}", if topics.is_empty() { "\n  none yet" } else { "" });
    for (topic, weight) in topics {
        let bar = "#".repeat((weight * 20.0).round() as usize);
        let _ = writeln!(text, "  {weight:.3} {bar:<20} {topic}");
    }
    if !follows.is_empty() {
        let names: Vec<&str> = follows.iter().map(Key::as_str).collect();
        let _ = writeln!(text, "\nfollows\n  {}", names.join(", "));
    }
    let _ = writeln!(text, "\nlast{}", if history.is_empty() { "\n  nothing yet" } else { "" });
    for past in history {
        let item = past.item.as_ref().map_or("-", Key::as_str);
        let _ = writeln!(text, "  {} {:<7} {item}", utc(past.at), past.kind);
    }
    let experts: Vec<&str> = Expert::ALL.iter().map(|expert| expert.name()).collect();
    let heads: String = experts.iter().map(|name| format!("{name:>12}")).collect();
    let _ = writeln!(text, "\nfeed\n   #   score{heads}  item");
    for (index, row) in feed.iter().enumerate() {
        let shares: String =
            experts.iter().map(|name| format!("{:>12.3}", row.why.get(name).copied().unwrap_or_default())).collect();
        let topic = row.topic.as_ref().map_or(String::new(), |topic| format!(" [{topic}]"));
        let _ = writeln!(text, "{:>4} {:>7.3}{shares}  {}{topic} {}", index + 1, row.score, row.item, start(&row.text));
    }
    if feed.is_empty() {
        let _ = writeln!(text, "  nothing was available");
    }
    text
}

/// The beginning of a text, on one line.
fn start(text: &str) -> String {
    const CHARACTERS: usize = 48;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARACTERS).collect();
    if text.chars().nth(CHARACTERS).is_some() { format!("{line}…") } else { line }
}

fn utc(at: Millis) -> String {
    timestamps::text(at)
}
