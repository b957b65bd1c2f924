//! The gateway: all HTTP requests and WebSockets of the server.
//!
//! Invariant: the gateway checks the caller, the caller's rights and the range of each value; the layers behind it trust
//! their types. Connections, frames, bodies and times are bounded. Deliberately absent: decisions about feeds, SQL, states
//! of the engine; forwarded headers, since any client can write them.
//!
//! The modules stand in reading order, and each imports only modules above it.

extern crate self as gateway;
use eddyline_actors as actors;
use eddyline_core::{domain, engine};
use eddyline_process as process;
use eddyline_protocol as protocol;
use eddyline_store as store;

pub mod busy;
pub(crate) mod errors;
pub mod timestamps;
pub(crate) mod event_ids;
pub(crate) mod checks;
pub(crate) mod grant;
pub mod hmac;
pub mod keyring;
pub mod auth;
pub mod access;
pub mod rates;
pub(crate) mod budget;
pub(crate) mod query;
pub(crate) mod cursor;
pub(crate) mod body;
pub mod file_budget;
pub mod settings;
pub mod gorse_settings;
pub mod stream_settings;
pub mod tls;
pub(crate) mod watcher;
pub(crate) mod answers;
pub mod hub;
pub mod apps;
pub mod state;
pub(crate) mod origin;
pub(crate) mod routes;
pub(crate) mod request;
pub mod rest;
pub mod gorse;
pub mod stream;
pub(crate) mod middleware;
pub(crate) mod pages;
pub(crate) mod judging;
pub mod openapi;
pub(crate) mod frames;
pub(crate) mod session;

use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Compress, DefaultHeaders, NormalizePath, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::rt::task::JoinHandle;
use actix_web::{App, Error, HttpServer, web};

use crate::process::Vital;
use crate::protocol::close::CloseReason;

use state::GatewayState;
use watcher::{ConnectionHandle, HandleBudget, PerAddress, Registry};

// 'self' covers the socket of the page's own origin, too (CSP 3).
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Largest number of connections of one address beside its sockets, where sockets have a limit.
pub(crate) const OTHERS_PER_ADDRESS: usize = 1_000;

routes::routes! {
    /// Routes for browsers: the pages and the socket.
    ROUTES;
    /// Registers the pages and the socket.
    configure_pages;

    "/" => GET pages::index;
    "/admin" => GET pages::admin;
    "/examples/pages" => GET pages::examples;
    "/docs" => GET openapi::page;
    "/openapi.json" => GET openapi::read_openapi;
    "/asyncapi.json" => GET openapi::read_asyncapi;
    "/prediction/{n}" => GET judging::prediction, POST judging::label;
    "/score" => GET judging::score;
    "/clients/javascript/src/{path:.*}" => GET pages::client;
    "/static/{path:.*}" => GET pages::file;
    "/ws" => SOCKET session::open;
}

/// Registers all routes, without the middleware of [`app`].
pub fn configure(config: &mut web::ServiceConfig, state: GatewayState) {
    let has_apps = !state.apps.is_empty();
    config
        .app_data(web::Data::new(state.auth.clone()))
        .app_data(web::Data::new(state))
        .configure(configure_pages)
        .configure(rest::configure)
        .configure(gorse::configure)
        .configure(|config| {
            if has_apps {
                stream::configure(config)
            }
        })
        .default_service(web::to(errors::unknown_route));
}

/// The application of each worker, with its middleware.
pub fn app(
    state: GatewayState,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + 'static>,
        Error = Error,
        InitError = (),
    > + 'static,
> {
    let headers = DefaultHeaders::new()
        .add(("content-security-policy", CONTENT_SECURITY_POLICY))
        .add(("x-content-type-options", "nosniff"))
        .add(("referrer-policy", "no-referrer"));
    let cors = origin::cors(&state.settings.origins);
    // The middleware that is wrapped last sees a request first.
    App::new()
        .configure(|config| configure(config, state))
        .wrap(from_fn(origin::no_changes_by_foreign_pages))
        .wrap(from_fn(middleware::limit_rates))
        .wrap(from_fn(middleware::limit_responses))
        .wrap(cors)
        .wrap(from_fn(middleware::feeds_for_all_origins))
        .wrap(from_fn(origin::only_loopback_names_in_dev))
        .wrap(NormalizePath::trim())
        .wrap(from_fn(middleware::no_changes_at_unclear_paths))
        .wrap(Compress::default())
        .wrap(headers)
}

/// A running gateway.
pub struct Serving {
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
    registry: Arc<Registry>,
    running: JoinHandle<io::Result<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Serving {
    /// The addresses that the gateway listens on, with real ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until the server stops by itself, which happens only after a failure.
    ///
    /// # Errors
    /// The failure that stopped the server.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.running).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Stops gracefully: sessions get `bye`, and running requests finish, within `settings.farewell`.
    pub async fn stop(self) {
        self.registry.close_all(CloseReason::Shutdown);
        for _ in 0..30 {
            if self.registry.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.handle.stop(true).await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Listens on all addresses in `listen`; port 0 takes a free one. Must run within an actix system. The caller handles
/// signals and decides when to call [`Serving::stop`].
///
/// # Errors
/// An address is in use or not permitted; without a key, only loopback is permitted.
pub async fn serve(state: GatewayState, listen: &[SocketAddr]) -> io::Result<Serving> {
    let settings = state.settings.clone();
    let registry = Arc::clone(&state.registry);
    let listeners = listen.iter().map(|&address| bind(&state, address)).collect::<io::Result<Vec<_>>>()?;
    let workers = settings.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let (patience, handles) = (settings.patience, HandleBudget::new(settings.handles_max));
    let per_address = PerAddress::new(match settings.rates.sockets_per_address {
        0 => 0,
        sockets => sockets.saturating_add(OTHERS_PER_ADDRESS),
    });
    let tls = match &state.certificate {
        Some(certificate) => Some(certificate.server_config().map_err(io::Error::other)?),
        None => None,
    };
    let (auth, server) = (state.auth.clone(), state.server.clone());
    let takes = move |token: &grant::TokenName| auth.still_takes(token);
    let tasks = vec![
        spawn_task("the watcher of sockets", watcher::watch(Arc::downgrade(&registry), patience, settings.scan, takes)),
        spawn_task("the sweep of rates", rates::sweep(Arc::downgrade(&state.rates))),
        spawn_task("the watcher of answers", answers::watch(Arc::downgrade(&state.answers), settings.scan)),
        spawn_task("the keyring", access::keep_fresh(Arc::downgrade(&state.access), move || server.clock().now())),
    ];
    let mut http = HttpServer::new(move || app(state.clone()))
        .workers(workers)
        .backlog(settings.backlog)
        .max_connections(settings.connections_max)
        .keep_alive(settings.keep_alive)
        .client_request_timeout(settings.head_within)
        // The server reads for so long after its last byte, so that a reset does not destroy the answer.
        .client_disconnect_timeout(Duration::from_secs(1))
        .shutdown_timeout(settings.farewell.as_secs())
        .disable_signals()
        .on_connect(move |stream, data| on_connect(stream, data, patience, &handles, &per_address));
    for listener in listeners {
        http = match &tls {
            Some(tls) => http.listen_rustls_0_23(listener, tls.clone())?,
            None => http.listen(listener)?,
        };
    }
    let addresses = http.addrs();
    let running = http.run();
    let handle = running.handle();
    Ok(Serving { addresses, handle, registry, running: actix_web::rt::spawn(running), tasks })
}

fn spawn_task(name: &'static str, work: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    actix_web::rt::spawn(Vital::task(name, work))
}

fn bind(state: &GatewayState, address: SocketAddr) -> io::Result<TcpListener> {
    auth::check_listen(address, !state.auth.is_dev())
        .map_err(|message| io::Error::new(io::ErrorKind::PermissionDenied, message))?;
    let with_address = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    listen_on(address, state.settings.backlog).map_err(with_address)
}

fn listen_on(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run in TIME_WAIT.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn on_connect(
    stream: &dyn Any,
    data: &mut Extensions,
    dead_after: Duration,
    handles: &HandleBudget,
    per_address: &Arc<PerAddress>,
) {
    let within_tls = stream.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
    let Some(stream) = stream.downcast_ref::<TcpStream>().or(within_tls) else { return };
    match stream.peer_addr().ok().map(|address| per_address.admit(address.ip())) {
        Some(Some(place)) => {
            data.insert(place);
        }
        // Each connection has buffers before it sends a byte.
        Some(None) => return watcher::reject(stream),
        None => {}
    }
    match ConnectionHandle::of(stream, dead_after, handles) {
        Ok(Some(connection)) => {
            data.insert(Arc::new(connection));
        }
        Ok(None) => {
            tracing::debug!("the budget of second handles is used up: the watcher cannot shut this socket down")
        }
        // The connection works without a handle; only the watcher cannot shut it down.
        Err(error) => tracing::warn!(%error, "cannot duplicate the handle of a socket: check the limit of open files"),
    }
}
