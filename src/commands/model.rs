//! `eddyline model …`: two-tower models in a Postgres store, in an embedded one that no server has open, or through a
//! running server.
//!
//! Invariant: the result alone is on standard output. A checkpoint that cannot serve is refused before it is stored. A
//! server on the same database takes up what is published here by itself. Absent on purpose: training (`train`).

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::remote::Remote;
use crate::actors::models::{self, CHECKPOINT_BYTES_MAX, ListedModel};
use crate::app;
use crate::config::Config;
use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;
use crate::gateway::timestamps;
use crate::store::StoreError;
use crate::store::models::KeptModel;

/// A large file on a slow line, then the vectors of all items: a server that has not answered by then is given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// What to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Task {
    /// Keep a checkpoint and have it serve.
    Publish(Vec<u8>),
    /// Say which models are kept, and which one serves.
    List,
    /// Have this model serve, or the one before.
    Rollback(Option<ModelVersion>),
}

impl Task {
    /// To publish the checkpoint in a file.
    ///
    /// # Errors
    /// That it cannot be read, or is too large.
    pub fn publish(file: &Path) -> anyhow::Result<Task> {
        let bytes = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
        ensure!(
            bytes <= CHECKPOINT_BYTES_MAX as u64,
            "{}: has {bytes} bytes, at most {CHECKPOINT_BYTES_MAX} are taken",
            file.display()
        );
        Ok(Task::Publish(std::fs::read(file).with_context(|| file.display().to_string())?))
    }
}

/// Does it in the configured store; the answer for standard output.
///
/// # Errors
/// What the store says, above all that a server has it open, or what is wrong with a checkpoint.
pub async fn in_store(config: &Config, task: Task, now: Millis) -> anyhow::Result<String> {
    let store = match app::open_access(config).await {
        Ok(store) => store,
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::Locked(_))) => {
            bail!("{error:#}, or ask the server that has it: --url, with a service token in EDDYLINE_TOKEN")
        }
        Err(error) => return Err(error),
    };
    let (store, reader, dim) = (&*store, app::open_models(), config.dim);
    Ok(match task {
        Task::Publish(checkpoint) => {
            let version = models::keep(store, reader.clone(), checkpoint, dim, now).await?;
            models::publish(store, reader, version, dim, now).await?;
            version.0.to_string()
        }
        Task::List => table(&models::list(store).await?),
        Task::Rollback(version) => {
            let version = models::way_back(store, version).await?;
            models::publish(store, reader, version, dim, now).await?;
            version.0.to_string()
        }
    })
}

/// Asks a running server; the answer for standard output.
///
/// # Errors
/// That there is no token, or what the server said.
pub fn over_http(url: &str, task: Task) -> anyhow::Result<String> {
    let server = Remote::new(url, PATIENCE);
    let version = |answer: Value| answer["version"].as_u64().context("the server answered without a version");
    Ok(match task {
        Task::Publish(checkpoint) => {
            let body = ("application/octet-stream", checkpoint);
            version(server.ask("POST", "/v1/models?publish=true", Some(body))?)?.to_string()
        }
        Task::List => {
            let found = server.ask("GET", "/v1/models", None)?;
            let rows = found["models"].as_array().context("the server answered without a list")?;
            let rows: Option<Vec<ListedModel>> = rows.iter().map(listed).collect();
            table(&rows.context("the server listed a model in another form")?)
        }
        Task::Rollback(wanted) => {
            let query = wanted.map(|version| format!("?version={}", version.0)).unwrap_or_default();
            version(server.ask("POST", &format!("/v1/models/rollback{query}"), None)?)?.to_string()
        }
    })
}

fn listed(row: &Value) -> Option<ListedModel> {
    Some(ListedModel {
        kept: KeptModel {
            version: ModelVersion(row["version"].as_u64()?),
            created: Millis(row["created"].as_i64()?),
            summary: row["summary"].to_string(),
            bytes: row["bytes"].as_u64()?,
        },
        published: row["published"].as_i64().map(Millis),
        serves: row["serves"].as_bool()?,
    })
}

/// Newest first: number, state, when it came and when it last served, size, what it says of itself.
fn table(models: &[ListedModel]) -> String {
    let mut text = "version\tstate\tcreated\tpublished\tbytes\tsummary\n".to_owned();
    for ListedModel { kept, published, serves } in models {
        let state = match (serves, published) {
            (true, _) => "serves",
            (false, Some(_)) => "served",
            (false, None) => "kept",
        };
        let (created, published) =
            (timestamps::text(kept.created), published.map_or_else(|| "-".into(), timestamps::text));
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}\t{state}\t{created}\t{published}\t{}\t{}", kept.version.0, kept.bytes, kept.summary);
    }
    text
}
