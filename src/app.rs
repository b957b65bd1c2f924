//! Start and shutdown of a server by its configuration.
//!
//! Invariant: standard output holds the server's address, printed once the server is ready, and nothing else. Signals are
//! caught before the store opens. On a signal sessions get `bye`, accepted events become durable, the store closes, and the
//! process ends within [`END_WITHIN`], even if a part hangs. A server that another one replaced in its store ends in this
//! order, too, with a failure status. It has then stored every event that it acknowledged.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::actors::Server;
use crate::actors::clock::{Clock, WallClock};
use crate::actors::models::{CheckpointError, ReadModel, Reading};
use crate::actors::start::{Parts, start};
use crate::config::{Config, StoreUrl};
use crate::domain::ids::ModelVersion;
use crate::embed::http::HttpConfig;
use crate::embed::{Choice, Embedder};
use crate::gateway::access::Access;
use crate::gateway::apps::{StreamApp, StreamApps};
use crate::gateway::file_budget::FileBudget;
use crate::gateway::gorse_settings::GorseDoor;
use crate::gateway::settings::GatewaySettings;
use crate::gateway::state::GatewayState;
use crate::gateway::tls::Certificate;
use crate::gateway::{Serving, serve};
use crate::process::say;
use crate::store::embedded::Embedded;
use crate::store::postgres::Postgres;
use crate::store::{Store, StoreError};
use crate::tower::Checkpoint;

/// Longest shutdown after a signal: 3 s for sockets, 10 s for requests, [`STORED_WITHIN`] for entries, [`CLOSED_WITHIN`] for
/// the store, and a reserve for a blocked standard error.
pub const END_WITHIN: Duration = Duration::from_secs(30);
/// Time after a signal to store the remaining entries, none of which is acknowledged yet.
const STORED_WITHIN: Duration = Duration::from_secs(5);
/// Time to close the store, whose acknowledged writes are already durable.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// Signals of a server, caught since [`Signals::catch`]: a signal during the start ends it in order.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches terminate, interrupt and hang-up. Must be called inside an actix system.
    ///
    /// # Errors
    /// The operating system refuses a handler.
    pub fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the first terminate or interrupt.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Starts a server and serves until a signal comes. A signal during the start drops `starting` and closes the store.
    ///
    /// # Errors
    /// The server cannot start or serve; the message says why.
    pub async fn serve(mut self, starting: impl Future<Output = anyhow::Result<Running>>) -> anyhow::Result<()> {
        let running = tokio::select! {
            biased;
            () = self.end() => {
                end_in_time();
                tracing::info!("shutting down before the server is ready");
                return Ok(());
            }
            running = starting => running?,
        };
        running.until_signal(self).await
    }
}

/// Starts the watchdog of the shutdown: it ends the process after [`END_WITHIN`].
fn end_in_time() {
    let spawned = std::thread::Builder::new().name("end".into()).spawn(|| {
        std::thread::sleep(END_WITHIN);
        // Standard error itself may block, so another thread writes the message.
        let _ = std::thread::Builder::new()
            .spawn(|| say(format_args!("eddyline: the shutdown took too long: the process ends now")));
        std::thread::sleep(Duration::from_millis(200));
        std::process::exit(1);
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "cannot start the watchdog of the shutdown");
    }
}

/// A running server with its store and its listener.
pub struct Running {
    /// The server's actors.
    pub server: Server,
    store: Arc<dyn Store>,
    tenants: Vec<Tenant>,
    certificate: Option<Arc<Certificate>>,
    serving: Serving,
}

/// The server and the store of an app that does not share those of the configuration.
type Tenant = (Server, Arc<dyn Store>);

/// Longest back-off between two attempts to reach the database.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Opens the configured store without waiting for its database.
///
/// # Errors
/// The store cannot be opened, or holds only a part of a dump.
pub async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    whole(open_store_to_load(config).await?, config).await
}

/// Opens the configured store to load a dump into it, even after an interrupted load.
///
/// # Errors
/// The store cannot be opened.
pub async fn open_store_to_load(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    try_open(config).await.with_context(|| format!("cannot open the store {}", config.store))
}

/// Refuses a store whose load was interrupted.
async fn whole(store: Arc<dyn Store>, config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    anyhow::ensure!(
        !store.is_loading().await?,
        "cannot open the store {}: it holds only a part of a dump, whose load was interrupted: empty it and load again",
        config.store
    );
    Ok(store)
}

/// Opens the configured store for a server, and waits while the database cannot be reached. Meanwhile every request to the
/// server's address gets 503, so that `/ready` reports that it is not ready.
///
/// # Errors
/// An error that waiting cannot correct.
pub async fn await_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let (mut wait, mut waiting) = (Duration::from_millis(250), None);
    loop {
        match (try_open(config).await, &config.store) {
            (Err(StoreError::Unavailable(why)), StoreUrl::Postgres(url)) => {
                tracing::warn!(store = %url, %why, retry_in = ?wait, "waiting for the database");
                if waiting.is_none() {
                    waiting = Some(Waiting::begin(config.address()?));
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
            (opened, url) => {
                if let Some(Some(waiting)) = waiting {
                    waiting.end().await;
                }
                return whole(opened.with_context(|| format!("cannot open the store {url}"))?, config).await;
            }
        }
    }
}

/// Opens the configured store for keys, tokens and models. A Postgres store opens beside its server, which notices changes by
/// itself.
///
/// # Errors
/// The store cannot be opened; a server has an embedded store open.
pub async fn open_access(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    match &config.store {
        StoreUrl::File(_) => open_store(config).await,
        StoreUrl::Postgres(url) => {
            let opened = Postgres::open_beside(url, &config.postgres).await;
            Ok(Arc::new(opened.with_context(|| format!("cannot open the store {url}"))?))
        }
    }
}

async fn try_open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match &config.store {
        StoreUrl::File(directory) => Arc::new(Embedded::open(directory)?),
        StoreUrl::Postgres(url) => Arc::new(Postgres::open(url, &config.postgres).await?),
    })
}

/// Reads checkpoints of two-tower models.
struct Checkpoints;

impl ReadModel for Checkpoints {
    fn read(&self, checkpoint: &[u8], version: ModelVersion, dim: usize) -> Result<Reading, CheckpointError> {
        let checkpoint =
            Checkpoint::from_bytes(checkpoint).map_err(|error| CheckpointError::Unreadable(error.into()))?;
        // A model without embeddings as input suits any size.
        if checkpoint.dim() != 0 && checkpoint.dim() != dim {
            return Err(CheckpointError::Dimension { model: checkpoint.dim(), server: dim });
        }
        let summary = serde_json::to_value(checkpoint.summary());
        let mut summary = summary.map_err(|error| CheckpointError::Unreadable(error.into()))?;
        summary["similarity"] = checkpoint.schema().similarity.name().into();
        Ok(Reading { model: checkpoint.into_model(version), summary: summary.to_string() })
    }
}

/// A listener that answers 503 for a server that waits for its database.
struct Waiting(actix_web::dev::ServerHandle);

impl Waiting {
    /// `None` if the address is in use, which the server itself reports later.
    fn begin(address: SocketAddr) -> Option<Waiting> {
        // Port 0 becomes another port later, so no client could use this listener.
        if address.port() == 0 {
            return None;
        }
        let service = || {
            actix_web::App::new().default_service(actix_web::web::to(|| async {
                actix_web::HttpResponse::ServiceUnavailable()
                    .insert_header((actix_web::http::header::RETRY_AFTER, "1"))
                    .json(serde_json::json!({ "error": "unavailable", "message": "waiting for the database" }))
            }))
        };
        // `Signals` handles signals for the waiting server.
        let server = actix_web::HttpServer::new(service).workers(1).disable_signals().bind(address).ok()?.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Some(Waiting(handle))
    }

    async fn end(self) {
        self.0.stop(false).await;
    }
}

/// Makes the configured embedder.
///
/// # Errors
/// A key of the configuration is missing or wrong.
pub fn open_embedder(config: &Config) -> anyhow::Result<Arc<dyn Embedder>> {
    let http = (config.embedder == Choice::Http)
        .then(|| HttpConfig::new(&config.http.base, &config.http.model, config.http.key.clone()));
    Ok(crate::embed::open(config.embedder, config.dim, http)?)
}

/// The reader of two-tower checkpoints, for the actors.
#[must_use]
pub fn open_models() -> Arc<dyn ReadModel> {
    Arc::new(Checkpoints)
}

/// Raises the limit of open files for the sockets, since many systems start with 1,024. Logs a warning if the hard limit
/// allows fewer.
fn make_file_budget(sockets_max: usize, workers: usize) -> FileBudget {
    let (limit, wanted) = (getrlimit(Resource::Nofile), FileBudget::files_for(sockets_max) as u64);
    // `None` is no limit.
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return FileBudget::within(usize::try_from(current).unwrap_or(usize::MAX), sockets_max, workers);
    }
    let within = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(current);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(within), maximum: limit.maximum });
    let files = if raised.is_ok() { within } else { current };
    let file_budget = FileBudget::within(files as usize, sockets_max, workers);
    if files < wanted {
        let (sockets, handles) = (file_budget.sockets, file_budget.handles);
        tracing::warn!(
            files,
            sockets,
            handles,
            "{sockets_max} sockets (sockets_max) need {wanted} open files: raise the hard limit. Until then the server takes {sockets} sockets, and can cut {handles} of them when they hang"
        );
    }
    file_budget
}

/// Starts a server over a store and prints its address. Must be called inside an actix system.
///
/// # Errors
/// The server cannot start: the configuration, the store or the address is unusable.
pub async fn run(config: &Config, store: Arc<dyn Store>) -> anyhow::Result<Running> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let workers = if config.workers == 0 { processors } else { config.workers };
    let file_budget = make_file_budget(config.sockets_max, workers);
    // Checked before any part starts: a server without a key must not listen beyond loopback.
    let clock: Arc<dyn Clock> = Arc::new(WallClock::default());
    let access = Access::open(store.clone(), config.secret.clone(), clock.now()).await?;
    if access.locks_everybody_out(clock.now()).await? {
        tracing::warn!(
            "the store holds a key, so every request needs a token, but no valid token exists: stop the server, make one \
             with `eddyline token create --service`, and start again"
        );
    }
    let address = config.safe_address(!access.auth().is_dev())?;
    let certificate = match (&config.tls_cert, &config.tls_key) {
        (Some(chain), Some(key)) => Some(Certificate::load(chain, key)?),
        _ => None,
    };
    let server = start(parts(config, store.clone(), clock, processors)?).await?;
    let settings = GatewaySettings {
        workers: Some(workers),
        sessions_max: file_budget.sockets,
        handles_max: file_budget.handles,
        connections_max: file_budget.connections_per_worker,
        rates: config.rate,
        origins: config.origins.clone(),
        ..GatewaySettings::default()
    };
    let mut gateway = GatewayState::new(server.clone(), settings, Arc::new(access));
    gateway.gorse = Arc::new(GorseDoor::new(config.gorse.clone()));
    let (apps, tenants) = open_apps(config, &server, processors).await?;
    gateway.apps = Arc::new(apps);
    gateway.certificate = certificate.clone();
    if certificate.is_none() && !address.ip().is_loopback() {
        tracing::warn!(
            "tokens are sent without encryption: set tls_cert and tls_key, or put a proxy with TLS in front"
        );
    }
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let serving = serve(gateway, &[address])
        .await
        .with_context(|| format!("cannot listen on {address}: does another server use it? try --listen 127.0.0.1:0"))?;
    let world = server.world();
    tracing::info!(people = server.people().len(), items = world.len(), open = world.open_len(), "ready");
    let mut out = std::io::stdout().lock();
    for address in serving.addresses() {
        // A closed pipe on standard output does not stop the server.
        let _ = writeln!(out, "listening on {scheme}://{address}");
    }
    let _ = out.flush();
    drop(out);
    Ok(Running { server, store, tenants, certificate, serving })
}

/// Opens the apps of the feeds API. An app with a store of its own gets a server of its own.
async fn open_apps(config: &Config, server: &Server, processors: usize) -> anyhow::Result<(StreamApps, Vec<Tenant>)> {
    let (mut apps, mut tenants) = (StreamApps::new(), Vec::new());
    for (name, settings) in &config.apps {
        let server = if settings.store.is_empty() {
            server.clone()
        } else {
            let own = Config { store: config.store_of(settings)?, ..config.clone() };
            let store = open_store(&own).await.with_context(|| format!("cannot open the app {name}"))?;
            let clock: Arc<dyn Clock> = Arc::new(WallClock::default());
            let server = start(parts(&own, store.clone(), clock, processors)?).await?;
            tenants.push((server.clone(), store));
            server
        };
        let app = StreamApp::open(name, settings, server).await;
        let app = Arc::new(app.with_context(|| format!("cannot open the app {name}"))?);
        feeds_recovery(&app).await?;
        apps.insert(settings.key.clone(), app);
    }
    Ok((apps, tenants))
}

/// Carries out what the last run left owed.
async fn feeds_recovery(app: &Arc<StreamApp>) -> anyhow::Result<()> {
    let name = app.name();
    crate::gateway::stream::recover(app).await.with_context(|| format!("cannot recover the app {name}"))
}

/// The parts of a server over a store.
fn parts(config: &Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>, processors: usize) -> anyhow::Result<Parts> {
    Ok(Parts {
        store,
        embedder: open_embedder(config)?,
        models: open_models(),
        clock,
        settings: Arc::new(config.engine()),
        limits: config.limits,
        slates: config.slates,
        threads: if config.threads == 0 { processors } else { config.threads },
    })
}

impl Running {
    fn read_certificate(&self) {
        match self.certificate.as_ref().map(|certificate| certificate.reload()) {
            Some(Ok(())) => tracing::info!("the certificate was reloaded"),
            Some(Err(error)) => {
                tracing::error!(%error, "the certificate cannot be reloaded; the former one stays in use")
            }
            None => tracing::info!("ignored a hang-up: there is no certificate to reload"),
        }
    }

    /// First address on which the server listens.
    #[must_use]
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.serving.addresses().first().copied()
    }

    /// Serves until an interrupt or terminate, then shuts down in order. A hang-up reloads the certificate.
    ///
    /// # Errors
    /// The listener fails, another server takes the store over, or entries cannot be stored before the end.
    async fn until_signal(mut self, mut signals: Signals) -> anyhow::Result<()> {
        let failed: Option<anyhow::Error> = loop {
            tokio::select! {
                _ = signals.terminate.recv() => break None,
                _ = signals.interrupt.recv() => break None,
                ended = self.serving.ended() => break ended.err().map(Into::into),
                replaced = self.store.replaced() => {
                    end_in_time();
                    tracing::error!("{replaced}");
                    self.serving.stop().await;
                    // The store refuses all further writes of this server, so there is nothing to wait for.
                    return Err(replaced.into());
                }
                _ = signals.hang_up.recv() => self.read_certificate(),
            }
        };
        end_in_time();
        tracing::info!("shutting down");
        self.serving.stop().await;
        let unstored = match tokio::time::timeout(STORED_WITHIN, self.server.close()).await {
            Ok(()) => 0,
            Err(_) => self.server.queued(),
        };
        for (server, store) in &self.tenants {
            if tokio::time::timeout(STORED_WITHIN, server.close()).await.is_err() {
                tracing::error!(queued = server.queued(), "entries of an app could not be stored");
            }
            let store = store.clone();
            let _ = tokio::time::timeout(CLOSED_WITHIN, tokio::task::spawn_blocking(move || store.close())).await;
        }
        let store = self.store.clone();
        let closed = tokio::time::timeout(CLOSED_WITHIN, tokio::task::spawn_blocking(move || store.close())).await;
        if closed.is_err() {
            tracing::warn!("the store did not close in time: the next start recovers it from its log");
        }
        match failed {
            Some(error) => Err(error),
            None if unstored > 0 => Err(anyhow::anyhow!(
                "{unstored} writes could not be stored before the end; none of them was acknowledged. The log says why"
            )),
            None => Ok(()),
        }
    }
}
