//! Aggregated and notification feeds: activities by verb and day, with marks of the groups that were seen and read.
//!
//! Invariant: groups are made from the newest activities at each read. A mark holds up to the number of the newest activity at its
//! time, so a new activity makes its group unseen and unread. Deliberately absent: other formats of aggregation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::domain::activities::{FeedName, Micros, activity_id};
use crate::store::activities::ActivityChange;

use super::super::stream_settings::Group;
use super::activity::{Fields, text_of};
use super::caller::StreamRequest;
use super::reply::{StreamError, StreamResult};
use super::{common, enrich, merged};

/// Newest activities from which groups are made.
const ACTIVITIES_MAX: usize = 1_000;
/// Activities that a group shows.
const SHOWN: usize = 15;
/// Groups that one request marks.
const MARKS_MAX: usize = 100;

/// A group of activities.
struct Grouped {
    id: String,
    name: String,
    verb: String,
    activities: Vec<Fields>,
    actors: BTreeSet<String>,
    first: Micros,
    last: Micros,
    /// The largest number of an activity.
    seq: i64,
}

/// Marks of one kind: of all groups, and of single ones.
#[derive(Default)]
struct Marks {
    all: i64,
    groups: BTreeMap<String, i64>,
}

impl Marks {
    fn covers(&self, group: &Grouped) -> bool {
        let own = self.groups.get(&group.id).copied().unwrap_or_default();
        self.all.max(own) >= group.seq
    }
}

fn time(fields: &Fields) -> Micros {
    fields.get("time").and_then(Value::as_str).and_then(Micros::parse).unwrap_or(Micros(0))
}

/// Makes groups, the one with the newest activity first.
fn make(feed: &FeedName, found: Vec<(Fields, (i64, i64))>) -> Vec<Grouped> {
    let mut groups: Vec<Grouped> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (fields, (_, seq)) in found {
        let verb = text_of(fields.get("verb")).unwrap_or_default();
        let at = time(&fields);
        let name = format!("{verb}_{}", at.date());
        let place = *places.entry(name.clone()).or_insert_with(|| {
            // The day is part of the name, so the time of the id adds nothing.
            let id = activity_id(Micros(0), &["g", feed.as_str(), &name]);
            groups.push(Grouped {
                id,
                name: name.clone(),
                verb: verb.clone(),
                activities: Vec::new(),
                actors: BTreeSet::new(),
                first: at,
                last: at,
                seq,
            });
            groups.len() - 1
        });
        let group = &mut groups[place];
        group.actors.extend(text_of(fields.get("actor")));
        group.first = group.first.min(at);
        group.last = group.last.max(at);
        group.seq = group.seq.max(seq);
        group.activities.push(fields);
    }
    groups
}

/// `GET feed/{slug}/{id}` of an aggregated or a notification feed: a page of groups. Marks take effect after the answer.
///
/// # Errors
/// A parameter is wrong, or the store cannot answer.
pub(crate) async fn read(
    request: &StreamRequest,
    feed: &FeedName,
    kind: Group,
    limit: usize,
    offset: usize,
) -> StreamResult {
    let switches = enrich::Switches::read(request)?;
    let app = &request.app;
    let edges = ((i64::MAX, i64::MAX), (i64::MIN, i64::MIN));
    let found = merged::entries(app, feed, edges.0, edges.1, ACTIVITIES_MAX).await?;
    let groups = make(feed, found);
    let mut marks = [Marks::default(), Marks::default()];
    if kind == Group::Notification {
        for (is_read, group, seq) in app.reads().marks(feed).await? {
            let marks = &mut marks[usize::from(is_read)];
            match group.is_empty() {
                true => marks.all = seq,
                false => _ = marks.groups.insert(group, seq),
            }
        }
    }
    let [seen, was_read] = &marks;
    let mut answer = Map::new();
    if kind == Group::Notification {
        let count = |marks: &Marks| groups.iter().filter(|group| !marks.covers(group)).count();
        answer.insert("unseen".into(), count(seen).into());
        answer.insert("unread".into(), count(was_read).into());
    }
    // Groups before or after a group of the page before.
    let place = |name: &str| request.param(name).map(|id| groups.iter().position(|group| group.id == id));
    let start = match place("id_lt") {
        Some(place) => place.map_or(groups.len(), |place| place + 1),
        None => 0,
    };
    let chosen: Vec<&Grouped> = groups.iter().skip(start + offset).take(limit).collect();
    let more = groups.len() > start + offset + limit;
    let mut page: Vec<Fields> = chosen.iter().flat_map(|group| group.activities.iter().take(SHOWN).cloned()).collect();
    enrich::activities(request, &switches, &mut page).await?;
    let mut page = page.into_iter();
    let results: Vec<Value> = chosen
        .iter()
        .map(|group| {
            let shown: Vec<Fields> = page.by_ref().take(group.activities.len().min(SHOWN)).collect();
            let mut view = json!({
                "id": group.id,
                "group": group.name,
                "verb": group.verb,
                "activities": shown,
                "activity_count": group.activities.len(),
                "actor_count": group.actors.len(),
                "created_at": group.first.to_string(),
                "updated_at": group.last.to_string(),
            });
            if kind == Group::Notification {
                view["is_seen"] = seen.covers(group).into();
                view["is_read"] = was_read.covers(group).into();
            }
            view
        })
        .collect();
    let last = chosen.last().filter(|_| more);
    let next = last.map_or_else(String::new, |last| common::next(request, feed, &last.id, limit));
    answer.insert("results".into(), results.into());
    answer.insert("next".into(), next.into());
    if kind == Group::Notification {
        mark(request, feed, &groups).await?;
    }
    request.found(Value::Object(answer))
}

/// Carries out `mark_seen` and `mark_read`.
async fn mark(request: &StreamRequest, feed: &FeedName, groups: &[Grouped]) -> Result<(), StreamError> {
    let last = groups.iter().map(|group| group.seq).max();
    let mut changes = Vec::new();
    for (name, is_read) in [("mark_seen", false), ("mark_read", true)] {
        if request.flag(name) {
            if let Some(last) = last {
                changes.push(ActivityChange::Mark(feed.clone(), is_read, String::new(), last));
            }
            continue;
        }
        let ids = request.list(name);
        common::must_be_short(name, ids.len(), MARKS_MAX)?;
        let named = ids.iter().filter_map(|id| groups.iter().find(|group| group.id == *id));
        changes.extend(named.map(|group| ActivityChange::Mark(feed.clone(), is_read, group.id.clone(), group.seq)));
    }
    if changes.is_empty() {
        return Ok(());
    }
    // A token that reads only may mark nothing.
    request.require("feed", "read", Some(feed), |user| feed.id() == user)?;
    Ok(request.app.change(changes).await?)
}
