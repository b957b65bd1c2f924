//! The door: everything that comes in by HTTP or WebSocket.
//!
//! Invariant: what passes the door is checked: who asks, what they may do, that every value is in range; behind it
//! types are trusted. Everything is bounded: connections, frames, bodies, time. Absent on purpose: decisions about
//! feeds, SQL, the engine's states; forwarded headers, which anybody may write.
//!
//! Reading order: `errors`, `timestamps`, `event_ids`, `checks`, `auth`, `keyring`, `access`, `rates`, `budget`, `origin`, `query`,
//! `body`, `call`, then the routes: `routes`, `rest`, `pages`, `frames`, `watcher`, `answers`, `session`; at last `tls` and
//! `file_budget`.

pub mod access;
pub mod answers;
pub mod auth;
pub mod body;
pub mod budget;
pub mod call;
pub mod checks;
pub mod errors;
pub mod frames;
pub mod keyring;
pub mod event_ids;
pub mod origin;
pub mod pages;
pub mod query;
pub mod rates;
pub mod rest;
pub mod file_budget;
pub mod routes;
pub mod session;
pub mod times;
pub mod tls;
pub mod watcher;

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

use crate::actors::Server;
use crate::actors::people::Owes;
use crate::domain::time::SECOND_MS;
use crate::process::Vital;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use access::Access;
use answers::Answers;
use auth::{Auth, Grant, Subject};
use budget::Budgets;
use keyring::LEEWAY_S;
use rates::{RateSettings, Rates};
use tls::Certificate;
use watcher::{Handles, Line, PerAddress, Registry};

// 'self' covers the socket of the page's own origin, too (CSP 3).
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Connections of one address beside its sockets, where those have a limit.
pub const OTHERS_PER_ADDRESS: usize = 1_000;

// A token counts whole seconds, and its signer's clock may be ahead.
const SIGNED_AHEAD_MS: i64 = (LEEWAY_S as i64 + 1) * SECOND_MS;

/// How the door is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Threads that serve requests; as many as there are cores by default.
    pub workers: Option<usize>,
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// Open WebSockets at most; more get 503.
    pub sessions_max: usize,
    /// Open connections per worker at most, sockets among them; more wait.
    pub connections_max: usize,
    /// Connections that can be cut from outside, which takes a second file each.
    pub handles_max: usize,
    /// How much anybody may ask for.
    pub rates: RateSettings,
    /// Origins whose pages may open a WebSocket and change something, beside our own: `https://app.example`.
    pub origins: Vec<String>,
    /// An idle connection is kept for so long.
    pub keep_alive: Duration,
    /// A request's head must arrive within.
    pub head_within: Duration,
    /// A session says `hello` within.
    pub hello_within: Duration,
    /// Between two pings of a session.
    pub heartbeat: Duration,
    /// A peer may be silent, or leave a feed undrawn, for so long.
    pub patience: Duration,
    /// Between two scans of all sessions.
    pub scan: Duration,
    /// Requests may go on for so long after the server was told to stop.
    pub farewell: Duration,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        GatewaySettings {
            workers: None,
            backlog: 2_048,
            sessions_max: 12_000,
            connections_max: 32_000,
            handles_max: 32_000,
            rates: RateSettings::default(),
            origins: Vec::new(),
            keep_alive: Duration::from_secs(75),
            head_within: Duration::from_secs(10),
            hello_within: Duration::from_secs(30),
            heartbeat: Duration::from_secs(20),
            patience: Duration::from_secs(60),
            scan: Duration::from_secs(5),
            farewell: Duration::from_secs(10),
        }
    }
}

/// Everything that the door needs. Clone freely: all clones share one registry of sessions.
#[derive(Clone)]
pub struct Door {
    /// The actors.
    pub server: Server,
    /// How it is built.
    pub settings: GatewaySettings,
    /// How tokens are checked.
    pub auth: Auth,
    /// Keys and tokens.
    pub access: Arc<Access>,
    /// Who has asked for how much.
    pub rates: Arc<Rates>,
    /// What all requests together may hold.
    pub budgets: Arc<Budgets>,
    /// All open sessions.
    pub registry: Arc<Registry>,
    /// All large answers under way.
    pub answers: Arc<Answers>,
    /// With one, all connections speak TLS.
    pub certificate: Option<Arc<Certificate>>,
}

impl Door {
    /// A door that is not open yet, without TLS.
    #[must_use]
    pub fn new(server: Server, settings: GatewaySettings, access: Arc<Access>) -> Door {
        let registry = Registry::new(settings.sessions_max, &settings.rates);
        let (auth, rates) = (access.auth(), Arc::new(Rates::new(&settings.rates)));
        let (budgets, answers) = (Arc::default(), Arc::default());
        Door { server, settings, auth, access, rates, budgets, registry, answers, certificate: None }
    }

    /// What a token allows. One of a person is refused when it may be a former holder's of the same key.
    ///
    /// # Errors
    /// `unauthorized`, saying what is wrong and never what the token holds.
    pub fn admit(&self, token: Option<&str>) -> Result<Grant, Refusal> {
        let grant = self.auth.check(token)?;
        let Subject::Person(key) = &grant.subject else { return Ok(grant) };
        let people = self.server.people();
        // Nobody can act under the key, nor make somebody of it.
        if people.is_being_erased(key.as_str()) {
            return Ok(grant);
        }
        let refused = |why: &str| Err(Refusal::new(Code::Unauthorized, why));
        if self.access.is_leaving(key) {
            return refused("the person of this token was erased: get a new one");
        }
        let Owes::SignedAfter(erasure) = people.owes(key.as_str()) else { return Ok(grant) };
        match grant.signed {
            Some(signed) if signed > self.server.clock().now().plus(SIGNED_AHEAD_MS) => {
                refused("the token says that it was signed in the future: check the clocks")
            }
            Some(signed) if signed > erasure => Ok(grant),
            Some(_) => {
                refused("the token was signed before somebody was erased who may have had this key: get a new one")
            }
            None => refused(
                "the token does not say when it was signed, and somebody was erased who may have had this key: sign \
                 tokens with the claim iat",
            ),
        }
    }
}

routes::routes! {
    /// What browsers open: the pages and the socket.
    ROUTES;
    /// Registers them.
    configure_pages;

    "/" => GET pages::index;
    "/admin" => GET pages::admin;
    "/static/{path:.*}" => GET pages::file;
    "/ws" => SOCKET session::open;
}

/// All routes, without the middleware of [`app`].
pub fn configure(config: &mut web::ServiceConfig, door: Door) {
    config
        .app_data(web::Data::new(door.auth.clone()))
        .app_data(web::Data::new(door))
        .configure(configure_pages)
        .configure(rest::configure)
        .default_service(web::to(errors::unknown_route));
}

/// The whole application, as each worker runs it.
pub fn app(
    door: Door,
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
    // The last one wrapped sees a request first.
    App::new()
        .configure(|config| configure(config, door))
        .wrap(from_fn(origin::no_changes_by_foreign_pages))
        .wrap(from_fn(rates::hold))
        .wrap(from_fn(answers::meter))
        .wrap(from_fn(origin::only_loopback_names_in_dev))
        .wrap(NormalizePath::trim())
        .wrap(Compress::default())
        .wrap(headers)
}

/// An open door.
pub struct Serving {
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
    registry: Arc<Registry>,
    running: JoinHandle<io::Result<()>>,
    chores: Vec<JoinHandle<()>>,
}

impl Serving {
    /// Where it listens, with real ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until it ends by itself, which it does only when it fails.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.running).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Ends gracefully: sessions are told `bye`, requests under way are finished, within `settings.farewell`.
    pub async fn stop(self) {
        self.registry.dismiss_all("shutdown");
        for _ in 0..30 {
            if self.registry.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.handle.stop(true).await;
        self.chores.iter().for_each(JoinHandle::abort);
    }
}

/// Opens the door on all `listen` addresses; port 0 takes a free one. Must run within an actix system. Signals are the
/// caller's: it decides when to [`Serving::stop`].
///
/// # Errors
/// When an address cannot be listened on, or must not be (beyond loopback without a key).
pub async fn serve(door: Door, listen: &[SocketAddr]) -> io::Result<Serving> {
    let settings = door.settings.clone();
    let registry = Arc::clone(&door.registry);
    let listeners = listen.iter().map(|&address| bind(&door, address)).collect::<io::Result<Vec<_>>>()?;
    let workers = settings.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let (patience, handles) = (settings.patience, Handles::new(settings.handles_max));
    let per_address = PerAddress::new(match settings.rates.sockets_per_address {
        0 => 0,
        sockets => sockets.saturating_add(OTHERS_PER_ADDRESS),
    });
    let tls = match &door.certificate {
        Some(certificate) => Some(certificate.server_config().map_err(io::Error::other)?),
        None => None,
    };
    let (auth, server) = (door.auth.clone(), door.server.clone());
    let takes = move |token: &auth::TokenName| auth.still_takes(token);
    let chores = vec![
        chore("the watcher of sockets", watcher::watch(Arc::downgrade(&registry), patience, settings.scan, takes)),
        chore("the sweep of rates", rates::sweep(Arc::downgrade(&door.rates))),
        chore("the watcher of answers", answers::watch(Arc::downgrade(&door.answers), settings.scan)),
        chore("the keyring", access::keep_fresh(Arc::downgrade(&door.access), move || server.clock().now())),
    ];
    let mut http = HttpServer::new(move || app(door.clone()))
        .workers(workers)
        .backlog(settings.backlog)
        .max_connections(settings.connections_max)
        .keep_alive(settings.keep_alive)
        .client_request_timeout(settings.head_within)
        // What a peer still sends is read for so long after our last byte, so that it is not lost to a reset.
        .client_disconnect_timeout(Duration::from_secs(1))
        .shutdown_timeout(settings.farewell.as_secs())
        .disable_signals()
        .on_connect(move |stream, data| greet(stream, data, patience, &handles, &per_address));
    for listener in listeners {
        http = match &tls {
            Some(tls) => http.listen_rustls_0_23(listener, tls.clone())?,
            None => http.listen(listener)?,
        };
    }
    let addresses = http.addrs();
    let running = http.run();
    let handle = running.handle();
    Ok(Serving { addresses, handle, registry, running: actix_web::rt::spawn(running), chores })
}

fn chore(name: &'static str, work: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    actix_web::rt::spawn(Vital::task(name, work))
}

fn bind(door: &Door, address: SocketAddr) -> io::Result<TcpListener> {
    auth::check_listen(address, !door.auth.is_dev())
        .map_err(|message| io::Error::new(io::ErrorKind::PermissionDenied, message))?;
    let with_address = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    listen_on(address, door.settings.backlog).map_err(with_address)
}

fn listen_on(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run to be forgotten.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn greet(
    stream: &dyn Any,
    data: &mut Extensions,
    dead_after: Duration,
    handles: &Handles,
    per_address: &Arc<PerAddress>,
) {
    let within_tls = stream.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
    let Some(stream) = stream.downcast_ref::<TcpStream>().or(within_tls) else { return };
    match stream.peer_addr().ok().map(|address| per_address.admit(address.ip())) {
        Some(Some(place)) => {
            data.insert(place);
        }
        // Each connection has buffers of its own, before it has said anything.
        Some(None) => return watcher::turn_away(stream),
        None => {}
    }
    match Line::of(stream, dead_after, handles) {
        Ok(Some(line)) => {
            data.insert(Arc::new(line));
        }
        Ok(None) => tracing::debug!("no second handle is left for this socket"),
        // The connection works without; only the watcher cannot cut it.
        Err(error) => tracing::warn!(%error, "no second handle on a socket: is the limit of open files reached?"),
    }
}
