//! Import of live viewing: `user,stream,streamer,start,stop` becomes channels as items, their windows, and visits.
//!
//! Invariant: importing is idempotent: the id of a visit holds its stream, its channel, its first and last step, and its
//! number among equal rows. So visits of one step are kept apart, and a file imported twice is stored once. Memory grows
//! with users, channels and windows, not with rows.
//! Deliberately absent: a resource for streams. A stream is a part of the ids of its visits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::by_time::{self, ByTime};
use crate::watch::watch;
use crate::window_flags::gap_and_tail;
use eddyline::commands::loader::{Loader, event_key};
use eddyline::commands::progress;
use eddyline::domain::ids::{ItemId, Key, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::time::{DAY_MS, Millis};
use eddyline::domain::timestamps;
use eddyline::domain::windows::{Window, Windows};
use eddyline::engine::coordinator::Draft;
use eddyline::engine::user::UserEvent;
use eddyline::process::say;
use eddyline_replay::formats::live_intervals::{LiveIntervals, Presence};
use eddyline_replay::formats::time::Times;
use eddyline_replay::formats::windows::{ROLES, WindowRows};
use eddyline_replay::formats::{Columns, Watch};
use eddyline_replay::log::Names;
use eddyline_replay::log::availability::{self, IntervalUnion};

/// Channels whose windows change in one call.
const WINDOWS_AT_ONCE: usize = 4_096;

/// Age of the end of a log, in milliseconds, beyond which its steps probably count from an arbitrary instant.
const YEAR_MS: i64 = 365 * DAY_MS;

/// Flags of this format alone.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LiveArgs {
    /// For live-intervals: the instant of step 0, RFC 3339; by default 1970. The summary names the value with which the
    /// last visit would begin now.
    #[arg(long, value_name = "TIME", value_parser = eddyline::commands::args::rfc3339)]
    origin: Option<Millis>,
    /// For live-intervals: availability of channels as CSV `item,start,stop`, in steps. Without it, and without
    /// `--infer-windows`, a channel is available while any user is present.
    #[arg(long, value_name = "FILE")]
    windows: Option<PathBuf>,
    /// For live-intervals: infer windows from starts, in steps. Visits of a channel that follow each other within `gap` are one
    /// window `[first, last + tail)`.
    #[arg(long, value_name = "gap=N,tail=N", conflicts_with = "windows")]
    infer_windows: Option<String>,
    /// For live-intervals: close all windows where the log says so. By default a channel that is on air when the last visit
    /// begins stays on air, so that a server can recommend it.
    #[arg(long)]
    close_windows: bool,
}

impl LiveArgs {
    /// True where a flag is given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.origin.is_some() || self.windows.is_some() || self.infer_windows.is_some() || self.close_windows
    }
}

/// A visit, while [`ByTime`] sorts it; user and channel are numbers of [`Names`].
#[derive(Serialize, Deserialize)]
struct Visit {
    user: u32,
    channel: u32,
    stay_ms: u32,
    stream: Key,
}

/// What the files hold.
struct Read {
    visits: ByTime<Visit>,
    users: Names,
    channels: Names,
    /// By channel; sorted and disjoint.
    windows: Vec<Vec<Window>>,
    step_ms: i64,
    last_start: Option<Millis>,
}

/// Imports the files; `now` is the present, for the summary.
///
/// # Errors
/// A file cannot be read (the message names file, line and column), or the store fails.
pub async fn import(
    loader: &mut Loader,
    paths: &[PathBuf],
    times: &Times,
    args: &LiveArgs,
    now: Millis,
) -> anyhow::Result<()> {
    let bar = progress::bytes("reading");
    let read = read(paths, times, args, Some(watch(&bar)))?;
    bar.finish_and_clear();
    let Read { visits, users, channels, windows, step_ms, last_start } = read;
    let ids = write_channels(loader, &channels, windows).await?;
    learn(loader, visits, (&users.into_keys(), &channels.into_keys()), &ids, step_ms).await?;
    if let Some(last) = last_start {
        let origin = args.origin.unwrap_or(Millis(0));
        let text = timestamps::text;
        say(format_args!("step 0 is {}, the last visit begins at {}", text(origin), text(last)));
        if origin.0 == 0 && last.plus(YEAR_MS) < now {
            let moved = Millis((now.0 - last.0).div_euclid(step_ms) * step_ms);
            say(format_args!("with --origin {} the last visit would begin now", text(moved)));
        }
    }
    Ok(())
}

fn read(paths: &[PathBuf], times: &Times, args: &LiveArgs, watch: Option<Watch>) -> anyhow::Result<Read> {
    let step_ms = times.step_ms();
    let origin = args.origin.unwrap_or(Millis(0)).0;
    let inferred = args.infer_windows.as_deref().map(gap_and_tail).transpose()?;
    let (gap, tail) = inferred.unwrap_or_default();
    let mut union = IntervalUnion::new(gap.saturating_mul(step_ms), tail.saturating_mul(step_ms));
    let mut visits = ByTime::new(by_time::BUDGET);
    let (mut users, mut channels) = (Names::default(), Names::default());
    let mut last_start: Option<Millis> = None;
    for row in LiveIntervals::open(paths, times.clone(), watch)? {
        let Presence { user, stream, streamer, start, stop, .. } = row?;
        let (start, stop) = (start.plus(origin), stop.plus(origin));
        let (user, channel) = (users.number(&user), channels.number(&streamer));
        let stay_ms = u32::try_from(stop.since(start)).unwrap_or(u32::MAX);
        if args.windows.is_none() {
            let stop = if inferred.is_some() { start } else { stop };
            union.push(availability::Presence { item: channel, start, stop });
        }
        last_start = last_start.max(Some(start));
        visits.push(start, &Visit { user, channel, stay_ms, stream })?;
    }
    if let Some(path) = &args.windows {
        given_windows(path, times, origin, &mut channels, &mut union)?;
    }
    let mut windows: Vec<Vec<Window>> = vec![Vec::new(); channels.keys().len()];
    for window in union.finish() {
        let stays = !args.close_windows
            && args.windows.is_none()
            && last_start.is_some_and(|last| window.start <= last && last < window.stop);
        let stop = (!stays && window.stop.0 < i64::MAX).then_some(window.stop);
        windows[window.item as usize].push(Window { start: window.start, stop });
    }
    Ok(Read { visits, users, channels, windows, step_ms, last_start })
}

/// Adds the windows of a file; a channel without visits becomes an item, too.
fn given_windows(
    path: &Path,
    times: &Times,
    origin: i64,
    channels: &mut Names,
    union: &mut IntervalUnion,
) -> anyhow::Result<()> {
    let columns = Columns::parse("item=item,start=start,stop=stop", &ROLES)?;
    for row in WindowRows::open(&[path.to_owned()], columns, times.fresh(), None)? {
        let row = row?;
        let (start, stop) = (row.window.start.plus(origin), row.window.stop.map(|stop| stop.plus(origin)));
        let item = channels.number(&row.item);
        union.push(availability::Presence { item, start, stop: stop.unwrap_or(Millis(i64::MAX)) });
    }
    Ok(())
}

/// Creates the channels that are new, adds windows to those that exist, and returns the ids by number.
async fn write_channels(
    loader: &mut Loader,
    channels: &Names,
    windows: Vec<Vec<Window>>,
) -> anyhow::Result<Vec<ItemId>> {
    let bar = progress::steps("channels", channels.keys().len() as u64);
    let mut known: Vec<(ItemId, Windows)> = Vec::new();
    for (key, windows) in channels.keys().iter().zip(windows) {
        let named = || format!("the windows of {key}");
        let old = loader.offline().world().find_item(key.as_str());
        let old = old.and_then(|id| Some((id, loader.offline().world().item(id)?.windows.clone())));
        match old {
            Some((id, old)) => {
                let merged = Windows::new(joined(old.as_slice(), &windows)).with_context(named)?;
                if merged != old && !windows.is_empty() {
                    known.push((id, merged));
                }
                if known.len() == WINDOWS_AT_ONCE {
                    loader.windows_of_items(std::mem::take(&mut known)).await?;
                }
            }
            None => {
                loader.brought.windows += windows.len() as u64;
                loader.brought.windowed_items += u64::from(!windows.is_empty());
                let draft = Draft {
                    key: key.clone(),
                    author: None,
                    topics: Some(Vec::new()),
                    text: Some(key.as_str().into()),
                    attributes: None,
                    embedding: None,
                    created: windows.first().map(|window| window.start),
                    windows: Some(Windows::new(windows).with_context(named)?),
                };
                loader.item(draft).await?;
            }
        }
        bar.inc(1);
    }
    if !known.is_empty() {
        loader.windows_of_items(known).await?;
    }
    loader.recentre().await?;
    bar.finish_and_clear();
    let world = loader.offline().world();
    let ids: Option<Vec<ItemId>> = channels.keys().iter().map(|key| world.find_item(key.as_str())).collect();
    ids.context("an item that was just written is not there")
}

/// The union of two lists of windows.
fn joined(old: &[Window], new: &[Window]) -> Vec<Window> {
    let mut union = IntervalUnion::new(0, 0);
    for window in old.iter().chain(new) {
        let stop = window.stop.unwrap_or(Millis(i64::MAX));
        union.push(availability::Presence { item: 0, start: window.start, stop });
    }
    let window =
        |one: availability::Presence| Window { start: one.start, stop: (one.stop.0 < i64::MAX).then_some(one.stop) };
    union.finish().map(window).collect()
}

/// Learns the visits in the order of time, each with the channels and the popularity of its step.
async fn learn(
    loader: &mut Loader,
    visits: ByTime<Visit>,
    (users, channels): (&[Key], &[Key]),
    ids: &[ItemId],
    step_ms: i64,
) -> anyhow::Result<()> {
    let visits = visits.sorted()?;
    let bar = progress::steps("visits", visits.len());
    let mut people: Vec<Option<UserId>> = vec![None; users.len()];
    let mut now = None;
    // By user and id, the number of equal rows in this step.
    let mut equal: HashMap<(UserId, Key), u32> = HashMap::new();
    for visit in visits {
        let (at, Visit { user, channel, stay_ms, stream }) = visit?;
        if now != Some(at) {
            now = Some(at);
            equal.clear();
            loader.advance(at);
        }
        let (user, channel) = (user as usize, channel as usize);
        let person = match people[user] {
            Some(person) => person,
            None => *people[user].insert(loader.person(&users[user], None)),
        };
        let id = visit_id(&stream, &channels[channel], (at, stay_ms), step_ms)?;
        let rows = equal.entry((person, id.clone())).or_default();
        *rows += 1;
        let id = if *rows == 1 { id } else { repeated(&id, *rows)? };
        let interaction = Interaction {
            id,
            item: ids[channel],
            kind: Kind::Watch,
            dwell_ms: Some(stay_ms),
            at,
            shown: None,
            passed: Vec::new(),
        };
        loader.act(person, UserEvent::Interacted(interaction)).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The id of the second or a later one of equal rows.
fn repeated(id: &Key, number: u32) -> anyhow::Result<Key> {
    let number = number.to_string();
    match Key::new(&format!("{id}/{number}")) {
        Ok(id) => Ok(id),
        Err(_) => event_key(&[id.as_str(), &number]),
    }
}

/// The id of a visit within its user: `STREAM/CHANNEL/FIRST-LAST` in steps since 1970, or a hash where that is too long
/// for a key.
fn visit_id(stream: &Key, channel: &Key, (at, stay_ms): (Millis, u32), step_ms: i64) -> anyhow::Result<Key> {
    let first = at.0.div_euclid(step_ms);
    let last = first + i64::from(stay_ms).div_euclid(step_ms);
    let id = format!("{stream}/{channel}/{first}-{last}");
    match Key::new(&id) {
        Ok(id) => Ok(id),
        Err(_) => event_key(&[stream.as_str(), channel.as_str(), &first.to_string(), &last.to_string()]),
    }
}
