//! A door for clients of hosted feeds (`stream-python`, `getstream`): feeds, follows, reactions, users, collections and analytics
//! over the server's own users, items and interactions.
//!
//! Invariant: [`ROUTES`] contains every route of the door; each needs the key of an app and a token of its secret. The routes exist only
//! with a configured app. Deliberately absent: files and images, moderation, audit logs.

pub(crate) mod reply;
pub(crate) mod caller;
pub(crate) mod activity;
pub(crate) mod common;
pub(crate) mod posts;
pub(crate) mod merged;
pub(crate) mod realtime;
pub(crate) mod views;
pub(crate) mod reaction_views;
pub(crate) mod enrich;
pub(crate) mod groups;
pub mod feeds;
pub mod reactions;
pub mod follows;
pub mod batch;
pub mod users;
pub mod analytics;
pub mod personal;
pub mod faye;

use std::sync::Arc;

use super::apps::StreamApp;
use super::routes::routes;

routes! {
    /// All routes for clients of hosted feeds. A path is found with and without a slash at its end.
    ROUTES;
    /// Registers all routes for clients of hosted feeds.
    configure;

    "/api/v1.0/feed/add_to_many" => POST feeds::add_to_many;
    "/api/v1.0/feed/{slug}/{id}" => GET feeds::read, POST feeds::add;
    "/api/v1.0/enrich/feed/{slug}/{id}" => GET feeds::read;
    "/api/v1.0/feed/{slug}/{id}/follows" => GET follows::following, POST follows::follow;
    "/api/v1.0/feed/{slug}/{id}/following" => GET follows::following, POST follows::follow;
    "/api/v1.0/feed/{slug}/{id}/followers" => GET follows::followers;
    "/api/v1.0/feed/{slug}/{id}/follows/{target}" => DELETE follows::unfollow;
    "/api/v1.0/feed/{slug}/{id}/following/{target}" => DELETE follows::unfollow;
    "/api/v1.0/feed/{slug}/{id}/{activity}" => DELETE feeds::remove;
    "/api/v1.0/stats/follow" => GET follows::stats;
    "/api/v1.0/follow_many" => POST follows::follow_many;
    "/api/v1.0/unfollow_many" => POST follows::unfollow_many;
    "/api/v1.0/activities" => GET batch::find, POST batch::update;
    "/api/v1.0/enrich/activities" => GET batch::find;
    "/api/v1.0/activity" => POST batch::partial;
    "/api/v1.0/feed_targets/{slug}/{id}/activity_to_targets" => POST batch::targets_of_activity;
    "/api/v1.0/reaction" => POST reactions::add;
    "/api/v1.0/reaction/{id}" => GET reactions::get, PUT reactions::update, DELETE reactions::delete;
    "/api/v1.0/reaction/{id}/restore" => PUT reactions::restore;
    "/api/v1.0/reaction/{lookup}/{value}" => GET reactions::filter;
    "/api/v1.0/reaction/{lookup}/{value}/{kind}" => GET reactions::filter;
    "/api/v1.0/user" => POST users::add;
    "/api/v1.0/user/{id}" => GET users::get, PUT users::update, DELETE users::delete;
    "/api/v1.0/users" => GET users::get_batch, POST users::add_batch, DELETE users::delete_batch;
    "/api/v1.0/collections" => GET users::select_entries, POST users::upsert_entries, DELETE users::delete_entries;
    "/api/v1.0/collections/{name}" => POST users::add_entry;
    "/api/v1.0/collections/{name}/{id}" => GET users::get_entry, PUT users::update_entry, DELETE users::delete_entry;
    "/api/v1.0/og" => GET personal::og;
    "/api/v1.0/enrich/personalization/feed" => GET personal::feed;
    "/personalization/v1.0/{resource}" => GET personal::get, POST personal::post, DELETE personal::delete;
    "/analytics/v1.0/engagement" => POST analytics::engagements;
    "/analytics/v1.0/impression" => POST analytics::impressions;
    "/analytics/redirect" => GET analytics::redirect;
    "/faye" => POST faye::post;
}

/// Carries out what a crash left owed in an app: items of posts, and native follows.
///
/// # Errors
/// The server is busy, or a post cannot become an item.
pub async fn recover(app: &Arc<StreamApp>) -> Result<(), reply::StreamError> {
    posts::recover(app).await
}
