//! Creates the simulated users on the server.
//!
//! Invariant: a run starts only when every user exists. Creating a user twice is harmless (`PUT`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, bail};
use eddyline::domain::ids::Key;

use crate::target::Target;

/// Connections that create users concurrently.
const WORKERS: usize = 16;

/// The keys of `count` users; the prefix needs no escaping, which its parser ensures.
pub fn names(prefix: &str, count: usize) -> anyhow::Result<Vec<Key>> {
    (0..count)
        .map(|index| Key::new(&format!("{prefix}{index:06}")).map_err(anyhow::Error::from))
        .collect::<anyhow::Result<_>>()
        .context("--people-prefix")
}

/// Sends `PUT /v1/users/{id}` for all users.
pub async fn make_known(target: &Target, people: Arc<[Key]>) -> anyhow::Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(30)))
        .max_idle_connections_per_host(WORKERS)
        .build()
        .into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS.min(people.len()) {
        let (agent, next, people, target) = (agent.clone(), next.clone(), people.clone(), target.clone());
        workers.spawn_blocking(move || {
            while let Some(person) = people.get(next.fetch_add(1, Relaxed)) {
                put(&agent, &target, person)?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

fn put(agent: &ureq::Agent, target: &Target, person: &Key) -> anyhow::Result<()> {
    let url = target.rest_url(&format!("/v1/users/{person}"));
    let mut response = agent
        .put(&url)
        .header("Content-Type", "application/json")
        .send("{}")
        .with_context(|| format!("PUT {url}: is the server running?"))?;
    // Reads the answer to its end, so that the connection can be reused.
    let body = response.body_mut().read_to_string().with_context(|| format!("PUT {url}"))?;
    if !response.status().is_success() {
        bail!("PUT {url}: {}: {body}", response.status());
    }
    Ok(())
}
