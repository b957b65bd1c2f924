//! `eddyline explain`: the time machine for people who operate it.
//!
//! Invariant: what it says is the fold of the person's journal up to the instant, ranked among what was available then,
//! as `GET /post/recommendations?time=` answers; same question, same answer. Reads only. Absent on purpose: popularity,
//! since what is popular now was not known then.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

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

/// What was known of a person, and what they were shown.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Who.
    pub user: Key,
    /// When, milliseconds.
    pub at: Millis,
    /// Last entry that counts.
    pub seq: Seq,
    /// The two-tower model that had a say; none without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_version: Option<ModelVersion>,
    /// The one that served then, where it is not kept any more and another stands in for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_missing: Option<ModelVersion>,
    /// Weights of topics then, the strongest first.
    pub topics: Vec<(Key, f32)>,
    /// What the online model knows.
    pub model: Model,
    /// Whom they followed.
    pub follows: Vec<Key>,
    /// What they did last, newest first, at most ten.
    pub history: Vec<Past>,
    /// What the `model` ranking showed, best first.
    pub feed: Vec<Row>,
}

/// See [`Explanation::model`].
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    /// Events with a label.
    pub labelled: u64,
    /// Progressive ROC AUC over the last 256 of them, per score.
    pub auc: BTreeMap<&'static str, Option<f32>>,
    /// Progressive mean log loss of the online model.
    pub log_loss: Option<f64>,
    /// Its expected calibration error.
    pub calibration_error: Option<f64>,
    /// Length of its mean vector.
    pub weight_norm: f32,
    /// Mean standard deviation of its weights, in units of the prior's: 1 is nothing learned.
    pub uncertainty: f32,
}

/// Something that they did.
#[derive(Clone, Debug, Serialize)]
pub struct Past {
    /// When, milliseconds.
    pub at: Millis,
    /// What.
    pub kind: &'static str,
    /// On what.
    pub item: Option<Key>,
}

/// An item of the feed.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub item: Key,
    /// Its main topic.
    pub topic: Option<Key>,
    /// Who made it.
    pub author: Option<Key>,
    /// How it begins.
    pub text: Arc<str>,
    /// Log-odds; the contributions sum to it.
    pub score: f32,
    /// By expert.
    pub why: BTreeMap<&'static str, f32>,
}

/// Explains a person at an instant. `now` is used for nothing that is told.
///
/// # Errors
/// What the store says, or that there is no such person.
pub async fn explain(
    store: &dyn Store,
    config: &Config,
    user: &Key,
    at: Millis,
    limit: u32,
    now: Millis,
) -> anyhow::Result<Explanation> {
    let (catalogue, people) = read_catalogue(store).await?;
    let person = people.iter().find(|person| person.key == *user && !person.erased);
    let person = person.with_context(|| format!("--user: no person {user:?} in this store"))?;
    let (attributes, person) = (person.attributes.as_deref().map(Arc::from), person.id);
    let settings = Arc::new(config.learn.clone());
    let mut coordinator = load_coordinator(store, config.dim, settings, catalogue, now).await?;
    models::take_up(store, &app::open_models(), &mut coordinator).await?;
    let mut state = as_of(store, person, at, coordinator.world()).await?;
    state.set_attributes(attributes);
    let world = coordinator.world().back_to(at, earlier(store, coordinator.world(), at).await?);
    let (world, model_missing) = models::as_of(store, app::open_models(), world, at).await?;
    let model_version = world.tower().map(|tower| tower.version());
    let settings = world.settings();
    let mut topics: Vec<(Key, f32)> = state
        .topics()
        .all(at, settings)
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
        uncertainty: state.online().uncertainty(settings),
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

/// As a text for people.
#[must_use]
pub fn table(explanation: &Explanation) -> String {
    let Explanation { user, at, seq, model_version, model_missing, topics, model, follows, history, feed } =
        explanation;
    let mut text = String::new();
    let figure = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.3}"));
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{user} at {}: {} events, {} of them with an answer", utc(*at), seq.0, model.labelled);
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
        let _ = writeln!(text, "               version {} served then and is not kept any more", version.0);
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
