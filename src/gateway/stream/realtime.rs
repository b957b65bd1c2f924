//! Changes of feeds for open subscriptions.
//!
//! Invariant: a change is passed on after it is durable, to subscribers of its feed and of feeds that follow it. Deliberately
//! absent: the protocol of subscribers (`faye`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::domain::activities::FeedName;
use crate::store::activities::ActivityChange;

use super::super::apps::StreamApp;
use super::activity::Fields;

/// Passes a change of some feeds on to their subscribers, and to those of feeds that follow them.
fn pass_on(app: &Arc<StreamApp>, feeds: Vec<FeedName>, mut data: Value) {
    let subscribed = app.hub.subscribed();
    if subscribed.is_empty() || feeds.is_empty() {
        return;
    }
    data["app_id"] = app.channel_id().into();
    data["published_at"] = format!("{}Z", app.now()).into();
    let app = Arc::clone(app);
    // Followers are looked up aside, so that no post waits for them.
    actix_web::rt::spawn(async move {
        let mut wanted: BTreeMap<String, FeedName> = BTreeMap::new();
        let mut pairs = Vec::new();
        for (name, meant) in &subscribed {
            for one in meant {
                if feeds.contains(one) {
                    wanted.insert(name.clone(), one.clone());
                }
                pairs.extend(feeds.iter().filter(|feed| *feed != one).map(|feed| (one.clone(), feed.clone())));
            }
        }
        match app.reads().follows_between(&pairs).await {
            Ok(found) => {
                for follow in found {
                    let of = |meant: &[FeedName]| meant.iter().find(|one| one.as_str() == follow.source).cloned();
                    let by = subscribed.iter().filter_map(|(name, meant)| Some((name.clone(), of(meant)?)));
                    wanted.extend(by);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "followers of a feed could not be found: their subscriptions miss a change")
            }
        }
        for (name, feed) in wanted {
            data["feed"] = feed.as_str().into();
            app.hub.publish(&name, &data);
        }
    });
}

/// Passes on new activities of feeds.
pub(crate) fn added(app: &Arc<StreamApp>, feeds: Vec<FeedName>, activities: &[Fields]) {
    if !activities.is_empty() {
        pass_on(app, feeds, json!({ "new": activities, "deleted": [], "deleted_foreign_ids": [] }));
    }
}

/// Passes on activities that left a feed.
pub(crate) fn removed(app: &Arc<StreamApp>, feed: &FeedName, ids: &[(String, bool)]) {
    let ids: Vec<&str> = ids.iter().map(|(id, _)| id.as_str()).collect();
    if !ids.is_empty() {
        pass_on(app, vec![feed.clone()], json!({ "new": [], "deleted": ids, "deleted_foreign_ids": [] }));
    }
}

/// The feeds into which changes put activities.
pub(crate) fn feeds_of(changes: &[ActivityChange]) -> Vec<FeedName> {
    let feeds = changes.iter().filter_map(|change| match change {
        ActivityChange::Entry(feed, ..) => Some(feed.clone()),
        _ => None,
    });
    feeds.collect::<BTreeSet<_>>().into_iter().collect()
}
