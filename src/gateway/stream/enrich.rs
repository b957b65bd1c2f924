//! Enrichment: references become objects, and activities get their reactions and counts.
//!
//! Invariant: a page costs a bounded number of reads, whatever its activities refer to. A reference to nothing becomes an object
//! that says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use crate::domain::ids::ItemId;

use super::super::apps::StreamApp;
use super::activity::{Fields, fields_of};
use super::caller::StreamRequest;
use super::reaction_views;
use super::reply::StreamError;
use super::views::{entry_view, missing, users};

/// Newest reactions per kind by default, and at most.
const RECENT: usize = 5;
const RECENT_MAX: usize = 25;
/// Own reactions per kind at most.
const OWN: i64 = 5;
/// References of one page at most; further ones stay texts.
const REFERENCES_MAX: usize = 2_000;

/// Which additions a request asks for.
pub(crate) struct Switches {
    own: bool,
    recent: bool,
    counts: bool,
    own_children: bool,
    kinds: BTreeSet<String>,
    limit: usize,
    user: Option<String>,
}

impl Switches {
    /// Reads the switches of the query.
    ///
    /// # Errors
    /// A parameter is wrong.
    pub(crate) fn read(request: &StreamRequest) -> Result<Switches, StreamError> {
        let named = request.param("user_id").or_else(|| request.param("withUserId")).map(str::to_owned);
        Ok(Switches {
            own: request.flag("withOwnReactions"),
            recent: request.flag("withRecentReactions"),
            counts: request.flag("withReactionCounts"),
            own_children: request.flag("withOwnChildren"),
            kinds: request.list("reactionKindsFilter").into_iter().collect(),
            limit: request.number("recentReactionsLimit", RECENT, RECENT_MAX)?,
            user: request.caller.user().map(str::to_owned).or(named),
        })
    }

    fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.contains(kind)
    }
}

fn is_reference(text: &str) -> bool {
    ["SU:", "SO:", "SA:", "SR:"].iter().any(|kind| text.len() > kind.len() && text.starts_with(kind))
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if is_reference(text) && found.len() < REFERENCES_MAX => {
            found.insert(text.clone());
        }
        Value::Array(list) => list.iter().for_each(|one| collect(one, found)),
        Value::Object(fields) => fields.values().for_each(|one| collect(one, found)),
        _ => {}
    }
}

fn replace(value: &mut Value, known: &HashMap<String, Value>) {
    match value {
        Value::String(text) => {
            if let Some(object) = known.get(text) {
                *value = object.clone();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|one| replace(one, known)),
        Value::Object(fields) => fields.values_mut().for_each(|one| replace(one, known)),
        _ => {}
    }
}

/// Replaces the references in activities by their objects.
pub(crate) async fn references(app: &StreamApp, page: &mut [Fields]) -> Result<(), StreamError> {
    let mut wanted = BTreeSet::new();
    for fields in page.iter() {
        fields.values().for_each(|value| collect(value, &mut wanted));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let mut known: HashMap<String, Value> = HashMap::new();
    let of = |kind: &str| -> Vec<String> {
        wanted.iter().filter_map(|one| one.strip_prefix(kind)).map(str::to_owned).collect()
    };
    let (user_ids, entries, activity_ids, reaction_ids) = (of("SU:"), of("SO:"), of("SA:"), of("SR:"));
    for (id, view) in users(app, user_ids.into_iter().collect()).await? {
        known.insert(format!("SU:{id}"), view);
    }
    let keys: Vec<(String, String)> = entries
        .iter()
        .map(|one| one.split_once(':').map_or_else(|| (one.clone(), String::new()), |(a, b)| (a.into(), b.into())))
        .collect();
    for ((collection, id), row) in keys.iter().zip(app.reads().objects(&keys).await?) {
        let name = format!("SO:{collection}:{id}");
        // A name without an id is kept as it is.
        known.insert(name.clone(), row.map_or_else(|| missing(&name), |row| entry_view(&row)));
    }
    for (id, row) in activity_ids.iter().zip(app.reads().activities(&activity_ids).await?) {
        let name = format!("SA:{id}");
        let view = row.map_or_else(|| missing(&name), |row| Value::Object(fields_of(&row)));
        known.insert(name, view);
    }
    let rows = app.reads().reactions(&reaction_ids).await?;
    let views = reaction_views::render(app, rows.into_iter().flatten().collect(), None).await?;
    let mut views: HashMap<String, Value> =
        views.into_iter().filter_map(|view| Some((view.get("id")?.as_str()?.to_owned(), view))).collect();
    for id in reaction_ids {
        let name = format!("SR:{id}");
        let view = views.remove(&id).unwrap_or_else(|| missing(&name));
        known.insert(name, view);
    }
    for fields in page {
        fields.values_mut().for_each(|value| replace(value, &known));
    }
    Ok(())
}

/// Enriches a page of activities as the request asks.
///
/// # Errors
/// The store cannot answer.
pub(crate) async fn activities(
    request: &StreamRequest,
    switches: &Switches,
    page: &mut [Fields],
) -> Result<(), StreamError> {
    if page.is_empty() {
        return Ok(());
    }
    let app = &request.app;
    let ids: Vec<String> =
        page.iter().map(|fields| fields.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()).collect();
    if request.is_enriched() {
        references(app, page).await?;
    }
    if !(switches.own || switches.recent || switches.counts) {
        return Ok(());
    }
    let mut counts: Vec<BTreeMap<String, i64>> = vec![BTreeMap::new(); ids.len()];
    for (place, kind, n) in app.reads().reaction_counts(&ids).await? {
        if switches.wants(&kind)
            && let Some(counts) = counts.get_mut(place)
        {
            counts.insert(kind, n);
        }
    }
    if switches.counts && switches.wants("like") {
        let world = app.server.world();
        let items: Vec<(usize, ItemId)> =
            ids.iter().enumerate().filter_map(|(place, id)| Some((place, world.find_item(id)?))).collect();
        let keys: Vec<ItemId> = items.iter().map(|(_, item)| *item).collect();
        for (key, n) in app.reads().native_likes(&keys).await?.into_iter().filter(|(_, n)| *n > 0) {
            let place = items.get(key).map_or(usize::MAX, |(place, _)| *place);
            if let Some(counts) = counts.get_mut(place) {
                *counts.entry("like".to_owned()).or_default() += n;
            }
        }
    }
    let owner = if switches.own_children { switches.user.as_deref() } else { None };
    if switches.recent {
        let groups = grouped(app, &ids, &counts, "", switches.limit as i64 + 1, owner).await?;
        for ((fields, id), mut group) in page.iter_mut().zip(&ids).zip(groups) {
            let mut extra = Map::new();
            for (kind, list) in &mut group {
                let Some(list) = list.as_array_mut() else { continue };
                let more = list.len() > switches.limit;
                list.truncate(switches.limit);
                let last = list.last().and_then(|last| last.get("id")).and_then(Value::as_str);
                let next = match last.filter(|_| more) {
                    Some(last) => format!(
                        "{}/api/v1.0/reaction/activity_id/{id}/{kind}/?id_lt={last}&limit={RECENT}&withOwnChildren=false",
                        request.base()
                    ),
                    None => String::new(),
                };
                extra.insert(kind.clone(), json!({ "next": next }));
            }
            fields.insert("latest_reactions".into(), Value::Object(group));
            fields.insert("latest_reactions_extra".into(), Value::Object(extra));
        }
    }
    if switches.own {
        let groups = match &switches.user {
            Some(user) => grouped(app, &ids, &counts, user, OWN, owner).await?,
            None => vec![Map::new(); ids.len()],
        };
        for (fields, group) in page.iter_mut().zip(groups) {
            fields.insert("own_reactions".into(), Value::Object(group));
        }
    }
    if switches.counts {
        for (fields, counts) in page.iter_mut().zip(counts) {
            fields.insert("reaction_counts".into(), json!(counts));
        }
    }
    Ok(())
}

/// The newest reactions by kind on each activity, all of them or those of one user.
async fn grouped(
    app: &StreamApp,
    ids: &[String],
    counts: &[BTreeMap<String, i64>],
    by: &str,
    limit: i64,
    owner: Option<&str>,
) -> Result<Vec<Map<String, Value>>, StreamError> {
    let pairs = ids.iter().zip(counts);
    let of: Vec<(String, String, String)> = pairs
        .flat_map(|(id, counts)| {
            counts.iter().filter(|(_, n)| **n > 0).map(move |(kind, _)| (id.clone(), kind.clone(), by.to_owned()))
        })
        .collect();
    let rows = app.reads().latest_reactions(&of, limit).await?;
    let places: HashMap<&str, usize> = ids.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
    let mut groups: Vec<Map<String, Value>> = vec![Map::new(); ids.len()];
    let owners: Vec<(usize, String)> =
        rows.iter().map(|row| (places.get(row.subject()).copied().unwrap_or(usize::MAX), row.kind.clone())).collect();
    for (view, (place, kind)) in reaction_views::render(app, rows, owner).await?.into_iter().zip(owners) {
        let Some(group) = groups.get_mut(place) else { continue };
        let list = group.entry(kind).or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.push(view);
        }
    }
    Ok(groups)
}
