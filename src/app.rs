//! A server put together from its configuration, and taken down in order.
//!
//! Invariant: the address is printed on standard output once the server is ready, and nothing else ever is. Signals are
//! caught before the store is opened. On a signal sessions hear `bye`, what was taken becomes durable, the store is closed,
//! and the process ends, within [`END_WITHIN`] whatever hangs. A server that was replaced in its store ends likewise, as
//! failed: it holds nothing that it acknowledged and did not store.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::actors::Server;
use crate::actors::clock::{Clock, WallClock};
use crate::actors::models::{ReadModel, Reading};
use crate::actors::start::{Parts, start};
use crate::config::{Config, StoreUrl};
use crate::domain::ids::ModelVersion;
use crate::embed::http::HttpConfig;
use crate::embed::{Choice, Embedder};
use crate::gateway::access::Access;
use crate::gateway::file_budget::FileBudget;
use crate::gateway::settings::GatewaySettings;
use crate::gateway::state::GatewayState;
use crate::gateway::tls::Certificate;
use crate::gateway::{Serving, serve};
use crate::process::say;
use crate::store::embedded::Embedded;
use crate::store::postgres::Postgres;
use crate::store::{Store, StoreError};
use crate::tower::Checkpoint;

/// After a signal the process ends within this time: 3 s for sockets, 10 s for requests, [`STORED_WITHIN`] for entries,
/// [`CLOSED_WITHIN`] for the store, and a rest for a standard error that nobody reads.
pub const END_WITHIN: Duration = Duration::from_secs(30);
/// Entries that are not stored yet are tried for so long after a signal. Nobody got an acknowledgement for them.
const STORED_WITHIN: Duration = Duration::from_secs(5);
/// The store is closed for so long; what it acknowledged is durable before.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// The signals of a server. They are caught from the making of this value on: whatever comes before the server is ready
/// ends it in order, too.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches them. Must be called inside an actix system.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Comes with the first signal that asks for the end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Starts a server and serves until a signal comes. A signal during the start drops `starting`, and with it the store.
    ///
    /// # Errors
    /// What keeps the server from starting or serving; a message for people.
    pub async fn serve(mut self, starting: impl Future<Output = anyhow::Result<Running>>) -> anyhow::Result<()> {
        let running = tokio::select! {
            biased;
            () = self.end() => {
                end_in_time();
                tracing::info!("going down before it was ready");
                return Ok(());
            }
            running = starting => running?,
        };
        running.until_signal(self).await
    }
}

/// From now on the process ends within [`END_WITHIN`].
fn end_in_time() {
    let spawned = std::thread::Builder::new().name("end".into()).spawn(|| {
        std::thread::sleep(END_WITHIN);
        // Whoever reads standard error may be what hangs.
        let _ = std::thread::Builder::new().spawn(|| say(format_args!("eddyline: the end took too long: cut off")));
        std::thread::sleep(Duration::from_millis(200));
        std::process::exit(1);
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread that watches over the end");
    }
}

/// A running server.
pub struct Running {
    /// Its inside.
    pub server: Server,
    store: Arc<dyn Store>,
    certificate: Option<Arc<Certificate>>,
    serving: Serving,
}

/// Longest wait between two tries while the database cannot be reached.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Opens the configured store, or says at once why not.
///
/// # Errors
/// What the store says, or that it holds a part of a dump only; a message for people.
pub async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    whole(open_store_to_load(config).await?, config).await
}

/// Opens the configured store to load a dump into it.
///
/// # Errors
/// What the store says; a message for people.
pub async fn open_store_to_load(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    try_open(config).await.with_context(|| format!("cannot open the store {}", config.store))
}

/// Refuses a store of which a part is missing.
async fn whole(store: Arc<dyn Store>, config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    anyhow::ensure!(
        !store.is_loading().await?,
        "cannot open the store {}: it holds a part of a dump, whose load was interrupted: empty it and load again",
        config.store
    );
    Ok(store)
}

/// Opens the configured store, for a server: while its database cannot be reached, waits for it, and meanwhile answers
/// every request at the address where the server will be with 503, so that `/ready` says no.
///
/// # Errors
/// What waiting does not help against; a message for people.
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

/// Opens the configured store to look after keys and tokens: in Postgres beside the server that has it, which hears of it
/// by itself.
///
/// # Errors
/// What the store says; a message for people.
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

/// Reads the checkpoints of `tower`.
struct Checkpoints;

impl ReadModel for Checkpoints {
    fn read(&self, checkpoint: &[u8], version: ModelVersion, dim: usize) -> Result<Reading, String> {
        let checkpoint = Checkpoint::from_bytes(checkpoint).map_err(|error| error.to_string())?;
        // A model that reads no embeddings does not care for their size.
        if checkpoint.dim() != 0 && checkpoint.dim() != dim {
            let wanted = checkpoint.dim();
            return Err(format!(
                "it was made for embeddings of {wanted} numbers, those of this server have {dim} (`dim`)"
            ));
        }
        let summary = serde_json::to_string(checkpoint.summary()).map_err(|error| error.to_string())?;
        Ok(Reading { model: checkpoint.into_model(version), summary })
    }
}

/// Answers in place of a server that waits for its database.
struct Waiting(actix_web::dev::ServerHandle);

impl Waiting {
    /// `None` when the address is not free: the server itself will say so.
    fn begin(address: SocketAddr) -> Option<Waiting> {
        // Nobody could find a port that is not known yet.
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
        // Signals are those of the server that waits.
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
/// The key that is missing or wrong.
pub fn open_embedder(config: &Config) -> anyhow::Result<Arc<dyn Embedder>> {
    let http = (config.embedder == Choice::Http)
        .then(|| HttpConfig::new(&config.http.base, &config.http.model, config.http.key.clone()));
    Ok(crate::embed::open(config.embedder, config.dim, http)?)
}

/// What reads two-tower models.
#[must_use]
pub fn open_models() -> Arc<dyn ReadModel> {
    Arc::new(Checkpoints)
}

/// Sockets are open files, and many systems begin with room for 1,024: takes as much more as this user may have, and says
/// so where that is too little.
fn make_file_budget(sockets_max: usize, workers: usize) -> FileBudget {
    let (limit, wanted) = (getrlimit(Resource::Nofile), FileBudget::files_for(sockets_max) as u64);
    // No limit is `None`.
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
            "{sockets_max} sockets (sockets_max) want {wanted} open files: raise the hard limit. Until then there is room for {sockets}, {handles} of which can be cut when they hang"
        );
    }
    file_budget
}

/// Starts a server over a store and says where it listens. Must be called inside an actix system.
///
/// # Errors
/// What keeps it from starting; a message for people.
pub async fn run(config: &Config, store: Arc<dyn Store>) -> anyhow::Result<Running> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let workers = if config.workers == 0 { processors } else { config.workers };
    let file_budget = make_file_budget(config.sockets_max, workers);
    // Before anything is started: a server that everybody could use is none.
    let clock: Arc<dyn Clock> = Arc::new(WallClock::default());
    let access = Access::open(store.clone(), config.secret.clone(), clock.now()).await?;
    if access.locks_everybody_out(clock.now()).await? {
        tracing::warn!(
            "a key is in the store, so every request needs a token, and there is none that would be taken: stop the server, \
             make one with `eddyline token create --service`, and start again"
        );
    }
    let address = config.safe_address(!access.auth().is_dev())?;
    let certificate = match (&config.tls_cert, &config.tls_key) {
        (Some(chain), Some(key)) => Some(Certificate::load(chain, key)?),
        _ => None,
    };
    let server = start(Parts {
        store: store.clone(),
        embedder: open_embedder(config)?,
        models: open_models(),
        clock,
        settings: Arc::new(config.engine()),
        limits: config.limits,
        slates: config.slates,
        threads: if config.threads == 0 { processors } else { config.threads },
    })
    .await?;
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
    gateway.certificate = certificate.clone();
    if certificate.is_none() && !address.ip().is_loopback() {
        tracing::warn!("tokens travel in the clear: set tls_cert and tls_key, or put a proxy with TLS in front");
    }
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let serving = serve(gateway, &[address])
        .await
        .with_context(|| format!("cannot listen on {address}: is another server there? try --listen 127.0.0.1:0"))?;
    let world = server.world();
    tracing::info!(people = server.people().len(), items = world.len(), open = world.open_len(), "ready");
    let mut out = std::io::stdout().lock();
    for address in serving.addresses() {
        // Whoever started us may have closed the pipe: that is no reason to stop.
        let _ = writeln!(out, "listening on {scheme}://{address}");
    }
    let _ = out.flush();
    drop(out);
    Ok(Running { server, store, certificate, serving })
}

impl Running {
    fn read_certificate(&self) {
        match self.certificate.as_ref().map(|certificate| certificate.reload()) {
            Some(Ok(())) => tracing::info!("the certificate was read again"),
            Some(Err(error)) => tracing::error!(%error, "the certificate in use stays"),
            None => tracing::info!("a hang-up: there is no certificate to read again"),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.serving.addresses().first().copied()
    }

    /// Serves until a signal comes (interrupt or terminate), then takes everything down in order. On a hang-up the
    /// certificate is read again.
    ///
    /// # Errors
    /// When the listener fails by itself, another server has taken the store over, or entries could not be stored before
    /// the end.
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
                    // Nothing of what is still in memory can be stored: there is nothing to wait for.
                    return Err(replaced.into());
                }
                _ = signals.hang_up.recv() => self.read_certificate(),
            }
        };
        end_in_time();
        tracing::info!("going down");
        self.serving.stop().await;
        let unstored = match tokio::time::timeout(STORED_WITHIN, self.server.close()).await {
            Ok(()) => 0,
            Err(_) => self.server.queued(),
        };
        let store = self.store.clone();
        let closed = tokio::time::timeout(CLOSED_WITHIN, tokio::task::spawn_blocking(move || store.close())).await;
        if closed.is_err() {
            tracing::warn!("the store could not be closed in time: the next start reads its log");
        }
        match failed {
            Some(error) => Err(error),
            None if unstored > 0 => Err(anyhow::anyhow!(
                "{unstored} writes could not be stored before the end: none of them was acknowledged; see the log for why"
            )),
            None => Ok(()),
        }
    }
}
