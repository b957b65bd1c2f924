//! Reactions as clients see them, with their users and newest children.
//!
//! Invariant: a reaction has one form wherever it is shown. A list costs a bounded number of reads per level.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::store::activities::ReactionRow;

use super::super::apps::StreamApp;
use super::common::zoned;
use super::reply::StreamError;
use super::views;

/// Levels of reactions at most.
pub(crate) const LEVELS: usize = 3;
/// Newest reactions that a reaction shows.
const CHILDREN: usize = 10;
/// Own reactions per kind that a reaction shows.
const OWN_CHILDREN: usize = 5;

/// Reactions as clients see them, each with its newest reactions. `owner` is the user whose own reactions are added.
pub(crate) fn render<'a>(
    app: &'a StreamApp,
    rows: Vec<ReactionRow>,
    owner: Option<&'a str>,
) -> BoxFuture<'a, Result<Vec<Value>, StreamError>> {
    Box::pin(render_level(app, rows, owner, 1))
}

async fn render_level(
    app: &StreamApp,
    rows: Vec<ReactionRow>,
    owner: Option<&str>,
    level: usize,
) -> Result<Vec<Value>, StreamError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let mut counts: Vec<BTreeMap<String, i64>> = vec![BTreeMap::new(); ids.len()];
    for (place, kind, n) in app.reads().reaction_counts(&ids).await? {
        if let Some(counts) = counts.get_mut(place) {
            counts.insert(kind, n);
        }
    }
    let latest = children(app, &ids, &counts, "", CHILDREN, owner, level).await?;
    let own = match owner {
        Some(owner) => Some(children(app, &ids, &counts, owner, OWN_CHILDREN, None, LEVELS).await?),
        None => None,
    };
    let users = views::users(app, rows.iter().map(|row| row.user.clone()).collect::<BTreeSet<_>>()).await?;
    let mut views = Vec::with_capacity(rows.len());
    for (place, row) in rows.into_iter().enumerate() {
        let doc: Value = serde_json::from_str(&row.doc).unwrap_or_default();
        let mut view = json!({
            "id": row.id,
            "kind": row.kind,
            "activity_id": row.activity,
            "user_id": row.user,
            "user": users.get(&row.user),
            "data": doc["data"],
            "parent": row.parent,
            "created_at": zoned(row.created),
            "updated_at": zoned(row.updated),
            "latest_children": group(latest.get(&row.id).map(Vec::as_slice).unwrap_or_default(), CHILDREN),
            "children_counts": counts.get(place),
        });
        if let Some(own) = &own {
            view["own_children"] = group(own.get(&row.id).map(Vec::as_slice).unwrap_or_default(), usize::MAX);
        }
        for name in ["target_feeds", "target_feeds_extra_data"] {
            if !doc[name].is_null() {
                view[name] = doc[name].clone();
            }
        }
        if let Some(deleted) = row.deleted {
            view["deleted_at"] = zoned(deleted).into();
        }
        views.push(view);
    }
    Ok(views)
}

/// Reactions by kind, newest first, at most `limit` over all kinds.
fn group(newest: &[Value], limit: usize) -> Value {
    let mut groups: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for one in newest.iter().take(limit) {
        groups.entry(one["kind"].as_str().unwrap_or_default()).or_default().push(one);
    }
    json!(groups)
}

/// The newest reactions on each reaction, newest first.
async fn children(
    app: &StreamApp,
    ids: &[String],
    counts: &[BTreeMap<String, i64>],
    by: &str,
    limit: usize,
    owner: Option<&str>,
    level: usize,
) -> Result<HashMap<String, Vec<Value>>, StreamError> {
    let kinds = ids.iter().zip(counts).flat_map(|(id, counts)| {
        counts.iter().filter(|(_, n)| **n > 0).map(move |(kind, _)| (id.clone(), kind.clone(), by.to_owned()))
    });
    let of: Vec<(String, String, String)> = kinds.collect();
    let mut rows = app.reads().latest_reactions(&of, limit as i64).await?;
    rows.sort_by_key(|row| std::cmp::Reverse(row.seq));
    let parents: Vec<String> = rows.iter().map(|row| row.parent.clone()).collect();
    let views = match level < LEVELS {
        true => Box::pin(render_level(app, rows, owner, level + 1)).await?,
        false => Box::pin(render_level(app, rows, None, LEVELS)).await?,
    };
    let mut found: HashMap<String, Vec<Value>> = HashMap::new();
    for (parent, view) in parents.into_iter().zip(views) {
        found.entry(parent).or_default().push(view);
    }
    Ok(found)
}
