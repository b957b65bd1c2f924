//! `eddyline import`: loads logs and catalogues into a store.
//!
//! Invariant: importing is idempotent: a file that is imported twice is stored once. Events of all files of one command are
//! learned in the order of time. An error names file, line and column. A log is read whole before any of its rows is
//! stored; a catalogue is stored while it is read.

use crate::watch::watch;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::by_time::{self, ByTime, Sorted};
use crate::live_channels::{self, LiveArgs};
pub use crate::table_import::tables;
use eddyline::actors::clock::{Clock, WallClock};
use eddyline::app;
use eddyline::commands::args::ConfigArgs;
use eddyline::commands::loader::{Brought, Loader, RowIds, event_key};
use eddyline::commands::{block_on, progress};
use eddyline::domain::ids::Key;
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::Embedding;
use eddyline::domain::journal::Measured;
use eddyline::domain::time::Millis;
use eddyline::engine::coordinator::Draft;
use eddyline::engine::user::UserEvent;
use eddyline::process::say;
use eddyline_replay::formats::time::{TimeUnit, Times};
use eddyline_replay::formats::{
    Columns, accepted_rejected, activities, events, follows, items, measurements, plain, windows,
};
use eddyline_replay::labelled::row_key;
use eddyline_tables::read::{ROLES, TableOptions};

/// Format of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// JSON lists of `{text, label, embedding}`; each file is a topic and a user.
    AcceptedRejected,
    /// JSON lines of activities `{actor, verb, object, time, message, topic, to}` and of people `{name, friends}`, plain or
    /// as extended JSON (`$oid`, `$date`). Files or a folder, in any order.
    Activities,
    /// CSV of items: `item,topic,text,author,at,attributes,embedding`; several topics with a bar between: `a|b`.
    Items,
    /// CSV of interactions: `user,item,time,kind,dwell`.
    Events,
    /// Interactions as `user item time` without a header; `--columns user=1,item=2,time=3`. Each is a click.
    Plain,
    /// Live viewing without a header: `user,stream,streamer,start,stop`, in steps of ten minutes. Channels become items with
    /// windows, rows become visits.
    LiveIntervals,
    /// CSV of follows: `source,target`.
    Follows,
    /// CSV of measurements of users: `user,metric,value,time,type`; the type may be left out.
    Metrics,
    /// CSV of availability: `item,start,stop`.
    Windows,
    /// A folder with `user_data`, `post_text_df` and `feed_data` (CSV or Parquet), `posts=FILE,feed=FILE[,people=FILE]`, or
    /// the `postgres://…` of a database that has those tables.
    Tables,
}

/// Load items, events, follows or windows into a store; importing a file twice changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Format of the files.
    #[arg(long)]
    format: Format,
    /// `file:DIR` or `postgres://…`. Put a password into `EDDYLINE_STORE` instead: all users of the machine see flags.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Names of columns: `user=…,item=…,time=…`; for plain their positions, from 1.
    #[arg(long, value_name = "ROLE=NAME,…")]
    columns: Option<String>,
    /// Unit of numeric times: `s`, `ms`, `us`, `ns` or `step:SECONDS`. By default live-intervals counts steps of ten minutes; elsewhere the size of the first number decides
    /// (9 or 10 digits: seconds; 12 or 13: milliseconds; 16: microseconds; 19: nanoseconds).
    #[arg(long)]
    time_unit: Option<TimeUnit>,
    /// For accepted-rejected: store the sentences as items and learn no labels.
    #[arg(long)]
    items_only: bool,
    /// Ignore events on items that are not in the store. Without this flag they end the command with status 1, after it
    /// learned all others. For metrics: ignore undeclared metrics and types, which else are errors.
    #[arg(long)]
    skip_unknown: bool,
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    config: ConfigArgs,
    /// Files; `.gz` and `.zst` are decompressed.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Imports the files and prints the counts to standard error.
///
/// # Errors
/// A file cannot be read, the store fails, or events name unknown items and `--skip-unknown` is not given.
pub fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.format == Format::LiveIntervals || !args.live.is_given(),
        "--origin, --windows, --infer-windows and --close-windows: take only --format live-intervals"
    );
    let config = args.config.start_with_store(args.store)?;
    // The database driver blocks its thread, so tables are read before the runtime starts.
    let read = if args.format == Format::Tables {
        let columns = args.columns.as_deref().map(|text| Columns::parse(text, &ROLES)).transpose();
        let columns = columns.context("--columns")?.unwrap_or_default();
        let times = Times::of(args.time_unit);
        let options = TableOptions { columns, times, dim: Some(config.dim), dim_of_texts: None };
        Some(crate::table_input::open(crate::table_input::only_path(&args.paths)?, &options)?)
    } else {
        None
    };
    let brought = block_on(async {
        let store = app::open_store(&config).await?;
        let now = WallClock::default().now();
        let loader = Loader::open(store, app::open_embedder(&config)?, &config, now).await?;
        if let Some(read) = read {
            return tables(loader, &read).await;
        }
        let own = (args.format == Format::LiveIntervals).then_some(TimeUnit::TEN_MINUTES);
        let times = Times::of(args.time_unit.or(own));
        let options = Options {
            format: args.format,
            paths: args.paths,
            columns: args.columns,
            times,
            items_only: args.items_only,
            live: args.live,
            skip_unknown: args.skip_unknown,
            dim: config.dim,
        };
        files(loader, options, now).await
    })?;
    report(&brought, args.skip_unknown)
}

fn report(brought: &Brought, skip_unknown: bool) -> anyhow::Result<()> {
    say(format_args!(
        "{}{} items, {} events learned, {} known before, {} on unknown items",
        brought.windows_text(),
        brought.items,
        brought.learned,
        brought.known,
        brought.unknown_items
    ));
    if brought.late > 0 {
        say(format_args!(
            "{} of them are older than events that their user had learned before this command: they were learned out of \
             order, after those; import logs in the order of time, or all of them in one command",
            brought.late
        ));
    }
    if brought.doubtful_times > 0 {
        say(format_args!(
            "{} times lie before 1973 or after 2286: check the unit, which --time-unit names (s, ms, us, ns)",
            brought.doubtful_times
        ));
    }
    if brought.undeclared > 0 {
        say(format_args!("{} measurements of undeclared metrics or types were ignored", brought.undeclared));
    }
    if brought.unknown_items == 0 {
        return Ok(());
    }
    let named: Vec<String> = brought.unknown_named.iter().map(|(item, count)| format!("{item} ({count})")).collect();
    let text = format!(
        "{} events on unknown items were not learned; the first of these items, with the number of events on each: {}",
        brought.unknown_items,
        named.join(", ")
    );
    if !skip_unknown {
        bail!("{text}. Import the items and then this file again, or pass --skip-unknown");
    }
    say(format_args!("{text}"));
    Ok(())
}

/// Files of one format, and how to read them.
pub struct Options {
    /// Format of all files.
    pub format: Format,
    /// Files or, for `accepted-rejected`, folders.
    pub paths: Vec<PathBuf>,
    /// Names of columns as `role=name,…`; `None` for the names of the format.
    pub columns: Option<String>,
    /// Unit of numeric times.
    pub times: Times,
    /// Store sentences as items and learn no labels.
    pub items_only: bool,
    /// Flags of live viewing.
    pub live: LiveArgs,
    /// Ignore measurements of undeclared metrics and types.
    pub skip_unknown: bool,
    /// Length of an embedding.
    pub dim: usize,
}

/// Imports files; `now` dates rows that have no time.
///
/// # Errors
/// A file cannot be read (the message names file, line and column), or the store fails.
pub async fn files(mut loader: Loader, options: Options, now: Millis) -> anyhow::Result<Brought> {
    let bar = progress::bytes("import");
    let watch = Some(watch(&bar));
    let paths = &options.paths;
    ensure!(!paths.is_empty(), "PATH: give at least one file");
    let columns = |roles: &[&str]| match options.columns.as_deref() {
        Some(text) => Columns::parse(text, roles).context("--columns"),
        None => Ok(Columns::default()),
    };
    match options.format {
        Format::AcceptedRejected => {
            for file in accepted_rejected::LabelledFiles::open(paths, Some(options.dim), watch)? {
                sentences(&mut loader, file?, options.items_only, now).await?;
            }
        }
        Format::Activities => {
            let mut log = Log::default();
            let rows = activities::Activities::open(paths, Some(options.dim), watch)?;
            let mut rows = rows.with_times(options.times);
            for row in rows.by_ref() {
                log.activity(row?)?;
            }
            bar.finish_and_clear();
            let people = rows.take_people();
            let own = people.iter().filter(|person| person.lists_self).count();
            if own > 0 {
                say(format_args!("{own} people list themselves as friends: these entries were left out"));
            }
            log.people(&mut loader, people, now).await?;
            log.learn(&mut loader).await?;
        }
        Format::Items => {
            for row in items::Items::open(paths, columns(&items::ROLES)?, options.times, Some(options.dim), watch)? {
                let row = row?;
                let author = row.author.map(|author| loader.author(&author));
                let draft = Draft {
                    key: row.item,
                    author,
                    topics: Some(row.topics),
                    text: Some(row.text.into()),
                    attributes: row.attributes.map(Into::into),
                    embedding: row.embedding,
                    created: row.created,
                    windows: None,
                };
                loader.item(draft).await?;
            }
            loader.recentre().await?;
        }
        Format::Events => {
            let mut log = Log::default();
            for row in events::Events::open(paths, columns(&events::ROLES)?, options.times, watch)? {
                let row = row?;
                let kind = row.kind.unwrap_or(Kind::Click);
                let parts = [row.user.as_str(), row.item.as_str(), &row.time.0.to_string(), kind.name()];
                let ids = RowIds::of(&parts, row.dwell_ms.map(|dwell| dwell.to_string()).as_deref())?;
                let act = Act::Interacted { ids, item: row.item, kind, dwell_ms: row.dwell_ms };
                log.acts.push(row.time, &(row.user, act))?;
            }
            bar.finish_and_clear();
            log.learn(&mut loader).await?;
        }
        Format::Plain => {
            let places = options.columns.as_deref().map_or(Ok(plain::Places::default()), plain::Places::parse);
            let mut log = Log::default();
            for row in plain::Plain::open(paths, places.context("--columns")?, options.times, watch)? {
                let row = row?;
                let kind = Kind::Click;
                let parts = [row.user.as_str(), row.item.as_str(), &row.time.0.to_string(), kind.name()];
                let act = Act::Interacted { ids: RowIds::of(&parts, None)?, item: row.item, kind, dwell_ms: None };
                log.acts.push(row.time, &(row.user, act))?;
            }
            bar.finish_and_clear();
            log.learn(&mut loader).await?;
        }
        Format::LiveIntervals => {
            ensure!(options.columns.is_none(), "--columns: this format has no named columns");
            live_channels::import(&mut loader, paths, &options.times, &options.live, now).await?;
        }
        Format::Follows => {
            for row in follows::Follows::open(paths, columns(&follows::ROLES)?, watch)? {
                let row = row?;
                let id = event_key(&["follow", row.source.as_str(), row.target.as_str()])?;
                let (source, user) = (loader.person(&row.source, None), loader.person(&row.target, None));
                loader.act(source, UserEvent::Followed { id, user, at: now }).await?;
            }
        }
        Format::Metrics => {
            let declared = loader.offline().world().settings().metrics.clone();
            let (times, skips) = (options.times, options.skip_unknown);
            let rows =
                measurements::Measurements::open(paths, columns(&measurements::ROLES)?, times, declared, skips, watch)?;
            let mut log = Log::default();
            for row in rows {
                let row = row?;
                if !row.is_declared {
                    loader.brought.undeclared += 1;
                    continue;
                }
                let (time, value) = (row.time.0.to_string(), row.millionths.to_string());
                let kind = row.kind.as_ref().map_or("", Key::as_str);
                let id = event_key(&["measure", row.user.as_str(), row.metric.as_str(), kind, &time, &value])?;
                let act = Act::Measured { id, metric: row.metric, kind: row.kind, millionths: row.millionths };
                log.acts.push(row.time, &(row.user, act))?;
            }
            bar.finish_and_clear();
            log.learn(&mut loader).await?;
        }
        // `run` reads tables before it opens the store, and `tables` imports them.
        Format::Tables => {}
        Format::Windows => {
            for (item, windows) in windows::read_windows(paths, columns(&windows::ROLES)?, options.times, watch)? {
                let id = loader.offline().world().find_item(item.as_str());
                let id = id.with_context(|| format!("column `item`: no item {item}: import the items first"))?;
                loader.windows(id, windows).await?;
            }
        }
    }
    bar.finish_and_clear();
    loader.finish().await
}

async fn sentences(
    loader: &mut Loader,
    file: accepted_rejected::LabelledFile,
    items_only: bool,
    now: Millis,
) -> anyhow::Result<()> {
    let name = Key::new(&file.name).with_context(|| format!("file name {:?}", file.name))?;
    for (index, row) in file.rows.iter().enumerate() {
        let draft = Draft {
            attributes: None,
            key: row_key(&name, index),
            author: None,
            topics: Some(vec![name.clone()]),
            text: Some(row.text.as_str().into()),
            embedding: Some(row.embedding.clone()),
            created: None,
            windows: None,
        };
        loader.item(draft).await?;
    }
    // The whole catalogue is stored before the first label is learned.
    loader.recentre().await?;
    let user = loader.person(&name, None);
    for (index, row) in file.rows.iter().enumerate().filter(|_| !items_only) {
        let item = loader.offline().world().find_item(row_key(&name, index).as_str());
        let item = item.context("an item that was just written is not there")?;
        let kind = if row.accepted { Kind::Accept } else { Kind::Reject };
        // The label is a part of the id, so a changed label is another event. Earlier versions left the label out.
        let ids = RowIds::of_place(row_key(&name, index), kind.name())?;
        let id = ids.first().clone();
        let answer = Interaction { id, item, kind, dwell_ms: None, at: now, shown: None, passed: Vec::new() };
        loader.act_row(user, answer, ids).await?;
    }
    Ok(())
}

/// An event of a log, while [`ByTime`] sorts it.
#[derive(Serialize, Deserialize)]
enum Act {
    Interacted { ids: RowIds, item: Key, kind: Kind, dwell_ms: Option<u32> },
    Posted { id: Key, item: Key },
    Followed { id: Key, whom: Key },
    Measured { id: Key, metric: Key, kind: Option<Key>, millionths: i64 },
}

/// An item that a log creates, while [`ByTime`] sorts it.
#[derive(Serialize, Deserialize)]
struct Post {
    item: Key,
    author: Key,
    topic: Option<Key>,
    text: String,
    embedding: Option<Vec<f32>>,
}

/// A log: rows are collected in any order, then learned in the order of time.
struct Log {
    acts: ByTime<(Key, Act)>,
    posts: ByTime<Post>,
    /// Earliest instant at which the log creates each item.
    made: HashMap<Key, Millis>,
    /// Time of the first activity.
    begin: Option<Millis>,
    /// Hashes of the follows in activities.
    follows: HashSet<u128>,
}

impl Default for Log {
    fn default() -> Log {
        let (acts, posts) = (ByTime::new(by_time::BUDGET), ByTime::new(by_time::BUDGET));
        Log { acts, posts, made: HashMap::new(), begin: None, follows: HashSet::new() }
    }
}

impl Log {
    /// Registers people with their names. They follow their friends from the first activity of the log on, or from `now`
    /// where it has none; a follow that is an activity itself keeps its own time.
    async fn people(
        &mut self,
        loader: &mut Loader,
        people: Vec<activities::PersonRow>,
        now: Millis,
    ) -> anyhow::Result<()> {
        let mut users = Vec::with_capacity(people.len());
        for person in &people {
            users.push(match &person.name {
                Some(name) => loader.named(&person.user, name).await?,
                None => loader.person(&person.user, None),
            });
        }
        let (at, bar) = (self.begin.unwrap_or(now), progress::steps("people", people.len() as u64));
        for (person, user) in people.iter().zip(users) {
            for friend in &person.friends {
                let edge = [person.user.as_str(), friend.as_str()];
                if self.follows.contains(&edge_hash(edge)) {
                    continue;
                }
                let id = event_key(&["follow", edge[0], edge[1]])?;
                let whom = loader.person(friend, None);
                loader.befriend(user, whom, id, at).await?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn activity(&mut self, row: activities::ActivityRow) -> anyhow::Result<()> {
        self.begin = Some(self.begin.map_or(row.time, |begin| begin.min(row.time)));
        let time = row.time.0.to_string();
        let verb = match row.verb {
            activities::Verb::Post => "post",
            activities::Verb::Interact => row.kind.unwrap_or(Kind::Like).name(),
            activities::Verb::Follow => "follow",
        };
        let parts = [row.actor.as_str(), verb, row.object.as_str(), &time];
        let id = event_key(&parts)?;
        let act = match row.verb {
            activities::Verb::Post => {
                let made = self.made.entry(row.object.clone()).or_insert(row.time);
                *made = row.time.min(*made);
                let embedding = row.embedding.map(|embedding| embedding.to_vec());
                let (item, author) = (row.object.clone(), row.actor.clone());
                let post = Post { item, author, topic: row.topic, text: row.message, embedding };
                self.posts.push(row.time, &post)?;
                Act::Posted { id, item: row.object }
            }
            activities::Verb::Interact => {
                let kind = row.kind.unwrap_or(Kind::Like);
                let ids = RowIds::of(&parts, row.dwell_ms.map(|dwell| dwell.to_string()).as_deref())?;
                Act::Interacted { ids, item: row.object, kind, dwell_ms: row.dwell_ms }
            }
            activities::Verb::Follow => {
                self.follows.insert(edge_hash([row.actor.as_str(), row.object.as_str()]));
                Act::Followed { id, whom: row.object }
            }
        };
        self.acts.push(row.time, &(row.actor, act))
    }

    async fn learn(self, loader: &mut Loader) -> anyhow::Result<()> {
        let mut posts = Posts { rows: self.posts.sorted()?, next: None };
        let acts = self.acts.sorted()?;
        let bar = progress::steps("events", acts.len());
        for act in acts {
            let (at, (who, act)) = act?;
            loader.advance(at);
            posts.make(loader, at).await?;
            if let Act::Interacted { item, .. } = &act
                && loader.offline().world().find_item(item.as_str()).is_none()
                && let Some(made) = self.made.get(item)
            {
                // Clocks of two writers differ, so an event may precede its item. The item is created first.
                posts.make(loader, *made).await?;
            }
            let user = loader.person(&who, None);
            match act {
                Act::Interacted { ids, item, kind, dwell_ms } => {
                    match loader.offline().world().find_item(item.as_str()) {
                        Some(item) => {
                            let (id, shown, passed) = (ids.first().clone(), None, Vec::new());
                            let interaction = Interaction { id, item, kind, dwell_ms, at, shown, passed };
                            loader.act_row(user, interaction, ids).await?;
                        }
                        None => loader.brought.note_unknown(&item),
                    }
                }
                Act::Posted { id, item } => {
                    let item = loader.offline().world().find_item(item.as_str());
                    let item = item.context("an item that was just written is not there")?;
                    loader.act(user, UserEvent::Posted { id, item, at }).await?;
                }
                Act::Measured { id, metric, kind, millionths } => {
                    let measured = Measured { metric, kind, millionths, replaces: false };
                    loader.act(user, UserEvent::Measured { id, measured, at }).await?;
                }
                Act::Followed { id, whom } => {
                    let whom = loader.person(&whom, None);
                    loader.act(user, UserEvent::Followed { id, user: whom, at }).await?;
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// Hash of a follow. Keys have no control characters, so the separator is unambiguous.
fn edge_hash(edge: [&str; 2]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(edge.join("\0").as_bytes())
}

/// Items that are not created yet, in the order of time.
struct Posts {
    rows: Sorted<Post>,
    next: Option<(Millis, Post)>,
}

impl Posts {
    /// Creates all items up to an instant and settles them, so that events can name them.
    async fn make(&mut self, loader: &mut Loader, until: Millis) -> anyhow::Result<()> {
        loop {
            if self.next.is_none() {
                self.next = self.rows.next().transpose()?;
            }
            let Some((at, post)) = self.next.take_if(|(at, _)| *at <= until) else { break };
            let embedding = post.embedding.map(|numbers| {
                let dim = numbers.len();
                Embedding::new(numbers, dim)
            });
            let draft = Draft {
                attributes: None,
                key: post.item,
                author: Some(loader.author(&post.author)),
                topics: post.topic.map(|topic| vec![topic]),
                text: Some(post.text.into()),
                embedding: embedding.transpose().context("an embedding in the temporary file is damaged")?,
                created: Some(at),
                windows: None,
            };
            loader.item(draft).await?;
        }
        loader.settle().await
    }
}
