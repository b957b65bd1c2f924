//! A server put together from its configuration, and taken down in order.
//!
//! Invariant: the address is printed on standard output once the server is ready, and nothing else ever is. On a signal
//! sessions are told, what was accepted becomes durable, then the process ends.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;

use crate::actors::Server;
use crate::actors::clock::WallClock;
use crate::actors::start::{Parts, start};
use crate::config::{Config, StoreUrl};
use crate::embed::http::HttpConfig;
use crate::embed::{Choice, Embedder};
use crate::gateway::auth::Auth;
use crate::gateway::{Door, GatewaySettings, Serving, serve};
use crate::store::Store;
use crate::store::embedded::Embedded;

/// A running server.
pub struct Running {
    /// Its inside.
    pub server: Server,
    serving: Serving,
}

/// Opens the configured store.
///
/// # Errors
/// What the store says; a message for people.
pub fn open_store(url: &str) -> anyhow::Result<Arc<dyn Store>> {
    match StoreUrl::parse(url)? {
        StoreUrl::File(directory) => {
            let store = Embedded::open(&directory)
                .with_context(|| format!("cannot open the store in {}", directory.display()))?;
            Ok(Arc::new(store))
        }
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

/// Starts a server over a store and says where it listens. Must be called inside an actix system.
///
/// # Errors
/// What keeps it from starting; a message for people.
pub async fn run(config: &Config, store: Arc<dyn Store>) -> anyhow::Result<Running> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let address = config.address()?;
    let server = start(Parts {
        store,
        embedder: open_embedder(config)?,
        clock: Arc::new(WallClock::default()),
        settings: Arc::new(config.learn.clone()),
        limits: config.limits,
        threads: if config.threads == 0 { processors } else { config.threads },
    })
    .await?;
    let auth = match &config.secret {
        Some(secret) => Auth::with_secret(secret)?,
        None => Auth::dev(),
    };
    let settings = GatewaySettings {
        workers: (config.workers > 0).then_some(config.workers),
        sessions_max: config.sockets_max,
        origins: config.origins.clone(),
        ..GatewaySettings::default()
    };
    let serving = serve(Door::new(server.clone(), settings, auth), &[address])
        .await
        .with_context(|| format!("cannot listen on {address}: is another server there? try --listen 127.0.0.1:0"))?;
    let world = server.world();
    tracing::info!(people = server.people().len(), items = world.len(), open = world.open_len(), "ready");
    let mut out = std::io::stdout().lock();
    for address in serving.addresses() {
        // Whoever started us may have closed the pipe: that is no reason to stop.
        let _ = writeln!(out, "listening on http://{address}");
    }
    let _ = out.flush();
    drop(out);
    Ok(Running { server, serving })
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.serving.addresses().first().copied()
    }

    /// Serves until a signal comes (interrupt or terminate), then takes everything down in order.
    ///
    /// # Errors
    /// When the listener fails by itself.
    pub async fn until_signal(mut self) -> anyhow::Result<()> {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let failed = tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.err(),
            _ = terminate.recv() => None,
            ended = self.serving.ended() => ended.err(),
        };
        tracing::info!("going down");
        self.serving.stop().await;
        self.server.close().await;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}
