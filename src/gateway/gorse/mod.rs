//! A door for clients of Gorse: its routes below `/api`, over the server's own users, items and interactions.
//!
//! Invariant: [`ROUTES`] contains every route of the door, and each but the two of health needs the rights of a service. The
//! door stores nothing of its own. Deliberately absent: the dashboard and the configuration of Gorse's recommenders.

pub(crate) mod reply;
pub(crate) mod labels;
pub(crate) mod events;
pub(crate) mod words;
pub mod health;
pub mod users;
pub mod items;
pub mod feedback;
pub mod recommend;

use super::routes::routes;

routes! {
    /// All routes for Gorse clients. `/api/feedback/{user}/{item}` has two segments and `/api/feedback/{type}/{user}/{item}`
    /// three, so the number of segments decides.
    ROUTES;
    /// Registers all routes for Gorse clients.
    configure;

    "/api/health/live" => GET health::live;
    "/api/health/ready" => GET health::ready;
    "/api/user" => POST users::insert;
    "/api/users" => GET users::list, POST users::insert;
    "/api/user/{id}" => GET users::one, PATCH users::patch, DELETE users::delete;
    "/api/user/{id}/feedback" => GET feedback::of_user;
    "/api/user/{id}/feedback/{type}" => GET feedback::of_user;
    "/api/user/{id}/neighbors" => GET recommend::user_neighbours;
    "/api/item" => POST items::insert;
    "/api/items" => GET items::list, POST items::insert;
    "/api/item/{id}" => GET items::one, PATCH items::patch, DELETE items::delete;
    "/api/item/{id}/category/{category}" => PUT items::add_category, DELETE items::remove_category;
    "/api/item/{id}/feedback" => GET feedback::of_item;
    "/api/item/{id}/feedback/{type}" => GET feedback::of_item;
    "/api/item/{id}/neighbors" => GET recommend::neighbours;
    "/api/item/{id}/neighbors/{category}" => GET recommend::neighbours;
    "/api/feedback" => GET feedback::list, POST feedback::insert, PUT feedback::overwrite;
    "/api/feedback/{type}" => GET feedback::list;
    "/api/feedback/{user}/{item}" => GET feedback::between, DELETE feedback::delete;
    "/api/feedback/{type}/{user}/{item}" => GET feedback::one, DELETE feedback::delete;
    "/api/recommend/{user}" => GET recommend::of_user;
    "/api/recommend/{user}/{category}" => GET recommend::of_user;
    "/api/session/recommend" => POST recommend::of_session;
    "/api/session/recommend/{category}" => POST recommend::of_session;
    "/api/latest" => GET recommend::latest;
    "/api/latest/{category}" => GET recommend::latest;
    "/api/popular" => GET recommend::popular;
    "/api/popular/{category}" => GET recommend::popular;
    "/api/non-personalized/{name}" => GET recommend::non_personalized;
    "/api/item-to-item/{name}/{id}" => GET recommend::item_to_item;
    "/api/user-to-user/{name}/{id}" => GET recommend::user_neighbours;
    "/api/collaborative-filtering/{user}" => GET recommend::collaborative;
}
