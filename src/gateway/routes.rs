//! Routes as tables: what is registered is what is listed.
//!
//! Invariant: a path that exists answers every method, the ones it does not know with 405 and `Allow`; HEAD goes
//! wherever GET goes. A route that is in no table does not exist, so whoever walks the tables (`tests/server/matrix.rs`) has
//! seen them all. Absent on purpose: who may use a route; a handler asks for it.

use actix_web::{HttpRequest, Resource, Route, guard, web};

use super::errors::{HttpResult, Problem};

/// A path and the methods that it knows, without HEAD.
pub type Listed = (&'static str, &'static [&'static str]);

/// A path, with the methods that it knows.
pub fn at(path: &str, allow: &'static str) -> Resource {
    let refuse =
        move |request: HttpRequest| async move { HttpResult::Err(Problem::not_allowed(request.method(), allow)) };
    web::resource(path).default_service(web::to(refuse))
}

/// GET, and HEAD, which is GET without the body.
#[must_use]
pub fn reads() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// A table of routes: a list of what it holds, and a function that registers all of it.
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
