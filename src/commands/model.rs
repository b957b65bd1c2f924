//! `eddyline model …`: two-tower models in a Postgres store, in an embedded one that no server has open, or through a
//! running server.
//!
//! Invariant: standard output holds the result alone. A checkpoint that cannot serve is refused before it is stored. A
//! server on this database loads a published model by itself. Absent on purpose: training (`train`).

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::Value;

use super::args::AccessArgs;
use super::output::print;
use super::remote::Remote;
use super::{beside, block_on};
use crate::actors::clock::{Clock, WallClock};
use crate::actors::models::{self, CHECKPOINT_BYTES_MAX, ListedModel, ModelError};
use crate::app;
use crate::config::Config;
use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;
use crate::gateway::timestamps;
use crate::store::models::KeptModel;
use crate::store::{Store, StoreError};

/// Longest wait for an answer of the server: it receives a large file, then computes the vectors of all items.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Manage two-tower models: publish, list, roll back, download, export vectors.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Store a checkpoint that `eddyline train` or PyTorch wrote, and let it serve: prints its version.
    ///
    /// A server loads it without dropping a request: the one at --url before this returns, a server
    /// on the configured Postgres database within seconds. A checkpoint for embeddings of another size is refused, and nothing
    /// is stored.
    Publish(PublishArgs),
    /// List the stored models, newest first: version, state, creation, last publication, size, summary.
    List(ListArgs),
    /// Return to the model that served before, or to a stored version: prints which.
    Rollback(RollbackArgs),
    /// Write a stored checkpoint to a file, byte for byte as it was published: prints its size.
    ///
    /// `eddyline model publish` takes the file again, in this store or another one.
    Download(DownloadArgs),
    /// Write the vectors of all users or of all items to a Parquet or CSV file.
    #[command(name = "export-embeddings")]
    ExportEmbeddings(beside::Args),
}

/// Flags of `eddyline model publish`: the checkpoint, and the store or server that receives it.
#[derive(Debug, clap::Args)]
pub struct PublishArgs {
    /// The checkpoint, a safetensors file of at most 64 MiB.
    file: PathBuf,
    #[command(flatten)]
    access: AccessArgs,
}

/// Flags of `eddyline model list`: the store or server that has the models.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    access: AccessArgs,
}

/// Flags of `eddyline model rollback`: the version, and the store or server that has the models.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The version to return to; by default the one that served before the present one.
    version: Option<u64>,
    #[command(flatten)]
    access: AccessArgs,
}

/// Flags of `eddyline model download`: the version, the file, and the store or server that has the models.
#[derive(Debug, clap::Args)]
pub struct DownloadArgs {
    /// The version; `eddyline model list` lists them.
    version: u64,
    /// File to write, once the whole checkpoint has arrived. An existing file is refused.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    access: AccessArgs,
}

/// An operation on models, for a store or for a server.
#[derive(Clone, PartialEq, Eq)]
pub enum Task {
    /// Store these bytes of a checkpoint and let the model serve.
    Publish(Vec<u8>),
    /// List the stored models, and mark the one that serves.
    List,
    /// Let this version serve; `None` is the version that served before.
    Rollback(Option<ModelVersion>),
    /// Write the checkpoint of this version to a file.
    Download(ModelVersion, PathBuf),
}

/// Runs one of the commands, in the configured store or through the server at `--url`.
///
/// # Errors
/// The checkpoint cannot be read or cannot serve, or the store or the server fails.
pub fn run(command: Command) -> anyhow::Result<()> {
    let (access, task) = match command {
        Command::Publish(PublishArgs { file, access }) => (access, Task::publish(&file)?),
        Command::List(ListArgs { access }) => (access, Task::List),
        Command::Rollback(RollbackArgs { version, access }) => (access, Task::Rollback(version.map(ModelVersion))),
        Command::Download(DownloadArgs { version, out, access }) => {
            (access, Task::Download(ModelVersion(version), out))
        }
        Command::ExportEmbeddings(args) => return beside::run("model", args.after("export-embeddings")),
    };
    if let Task::Download(_, out) = &task {
        ensure!(!out.exists(), exists(out));
    }
    let config = access.config.start_with_store(access.store)?;
    print(carry_out(access.url.as_deref(), &config, task)?.trim_end())
}

/// Carries a task out in the configured store, or through the server at `url`; returns the text for standard output.
///
/// # Errors
/// The checkpoint cannot serve, or the store or the server fails.
pub fn carry_out(url: Option<&str>, config: &Config, task: Task) -> anyhow::Result<String> {
    match url {
        Some(url) => over_http(url, task),
        None => block_on(in_store(config, task, WallClock::default().now())),
    }
}

impl Task {
    /// Publishing the checkpoint in a file.
    ///
    /// # Errors
    /// The file cannot be read, or is too large.
    pub fn publish(file: &Path) -> anyhow::Result<Task> {
        let bytes = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
        ensure!(
            bytes <= CHECKPOINT_BYTES_MAX as u64,
            "{}: the file has {bytes} bytes, a checkpoint has at most {CHECKPOINT_BYTES_MAX}",
            file.display()
        );
        Ok(Task::Publish(std::fs::read(file).with_context(|| file.display().to_string())?))
    }
}

/// Carries the task out in the configured store; returns the text for standard output.
///
/// # Errors
/// A server has the embedded store open, the store fails, or the checkpoint cannot serve.
async fn in_store(config: &Config, task: Task, now: Millis) -> anyhow::Result<String> {
    let store = open(config).await?;
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
        Task::Download(version, out) => {
            let checkpoint = store.checkpoint(version).await?;
            save(&out, &checkpoint.ok_or(ModelError::Unknown(version))?)?
        }
    })
}

/// Opens the configured store beside its server, where the store allows that.
///
/// # Errors
/// A server has the embedded store open, or the store fails.
pub(super) async fn open(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    match app::open_access(config).await {
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::Locked(_))) => {
            bail!("{error:#}, or let the server do it: --url, with a service token in EDDYLINE_TOKEN")
        }
        opened => opened,
    }
}

fn exists(out: &Path) -> String {
    format!("--out: {} exists: remove it, or choose another name", out.display())
}

/// Writes a checkpoint under another name and renames it, so that a failure leaves no partial file and no existing file is
/// replaced; returns its size as text.
fn save(out: &Path, checkpoint: &[u8]) -> anyhow::Result<String> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(checkpoint)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(out)?;
        Ok(())
    };
    write().map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow!(exists(out)),
        _ => anyhow::Error::new(error).context(format!("--out: cannot write {}", out.display())),
    })?;
    Ok(format!("{} bytes", checkpoint.len()))
}

/// Lets a running server carry the task out; returns the text for standard output.
///
/// # Errors
/// The server cannot be reached, requires a token, or refuses the request.
fn over_http(url: &str, task: Task) -> anyhow::Result<String> {
    let server = Remote::new(url, TIMEOUT);
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
        Task::Download(version, out) => {
            let mut answer = server.open("GET", &format!("/v1/models/{}/download", version.0), None)?;
            let body = answer.body_mut().with_config().limit(CHECKPOINT_BYTES_MAX as u64);
            save(&out, &body.read_to_vec().with_context(|| format!("{url}: the checkpoint did not arrive"))?)?
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

/// One line per model, newest first: version, state, creation, last publication, bytes, summary of the checkpoint.
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
