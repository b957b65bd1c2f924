//! Tables of routes, from which routes are registered and listed.
//!
//! Invariant: an existing path answers unknown methods with 405 and `Allow`. A path that answers GET also answers HEAD.
//! A route exists only in a table, so a walk over the tables (`tests/server/matrix.rs`) covers all routes. Deliberately
//! absent: rights, which handlers check.

use actix_web::{HttpRequest, Resource, Route, guard, web};

use super::errors::{HttpResult, Problem};

/// A path with its methods, without HEAD.
pub type Listed = (&'static str, &'static [&'static str]);

/// A resource that answers methods outside of `allow` with 405.
pub fn at(path: &str, allow: &'static str) -> Resource {
    let refuse =
        move |request: HttpRequest| async move { HttpResult::Err(Problem::not_allowed(request.method(), allow)) };
    web::resource(path).default_service(web::to(refuse))
}

/// A route for GET and for HEAD, which is GET without the body.
#[must_use]
pub fn reads() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Declares a list of routes, and a function that registers all of them.
macro_rules! routes {
    (
        $(#[$list_meta:meta])* $list:ident;
        $(#[$register_meta:meta])* $register:ident;
        $($path:literal => $($method:ident $handler:path),+;)+
    ) => {
        $(#[$list_meta])*
        pub const $list: &[$crate::gateway::routes::Listed] = &[$(($path, &[$(stringify!($method)),+])),+];

        $(#[$register_meta])*
        pub fn $register(config: &mut actix_web::web::ServiceConfig) {
            use $crate::gateway::routes::{at, routes};
            $(config.service(at($path, routes!(allow $($method)+))$(.route(routes!(on $method).to($handler)))+);)+
        }
    };
    (allow $first:ident $($more:ident)*) => { concat!(routes!(name $first) $(, ", ", routes!(name $more))*) };
    (name GET) => { "GET, HEAD" };
    (name SOCKET) => { "GET" };
    (name $method:ident) => { stringify!($method) };
    (on GET) => { $crate::gateway::routes::reads() };
    (on SOCKET) => { actix_web::web::get() };
    (on POST) => { actix_web::web::post() };
    (on PUT) => { actix_web::web::put() };
    (on PATCH) => { actix_web::web::patch() };
    (on DELETE) => { actix_web::web::delete() };
}
pub(crate) use routes;
