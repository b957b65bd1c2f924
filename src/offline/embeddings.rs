//! `eddyline model export-embeddings`: the vectors of a two-tower model as Parquet or CSV.
//!
//! Invariant: the file appears whole under its name, or not at all; an existing file is never overwritten. Memory holds one
//! row group.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use eddyline::commands::args::AccessArgs;
use eddyline::commands::embeddings::{VectorsOf, each};
use eddyline::commands::output::print;
use eddyline::commands::progress;
use eddyline::domain::ids::ModelVersion;
use eddyline::engine::two_tower::TOWER_DIM;
use eddyline_tables::write::{Cell, ColumnKind, FileFormat, TableWriter};

/// The offline commands on two-tower models.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write the vectors of all users or of all items to a Parquet or CSV file: a column `id`, then `v0` to `v63`.
    ///
    /// A user vector has the user's attributes and history up to now. A running server (--url) has the vectors of the model that
    /// it serves. A store gives those of any stored model. The dot product of a user vector and an item vector, scaled and
    /// shifted by the model, is the log-odds of a like; see docs/two-tower.md.
    ExportEmbeddings(Args),
}

/// Flags of `eddyline model export-embeddings`: the tower, the model, the file, and the store or server that has the model.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("of").required(true))]
pub struct Args {
    /// Vectors of all users.
    #[arg(long, group = "of")]
    users: bool,
    /// Vectors of all items.
    #[arg(long, group = "of", alias = "items")]
    posts: bool,
    /// The model; the one that serves by default.
    #[arg(long, value_name = "VERSION")]
    version: Option<u64>,
    /// File to write; its name ends in `.parquet`, `.csv` or `.csv.zst`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    access: AccessArgs,
}

/// Runs one of the commands.
///
/// # Errors
/// The file exists or cannot be written, no such model serves, or the store or the server fails.
pub fn run(command: Command) -> anyhow::Result<()> {
    let Command::ExportEmbeddings(mut args) = command;
    let config = args.access.config.start_with_store(args.access.store.take())?;
    let target = Target::of(&args.out)?;
    let of = if args.users { VectorsOf::Users } else { VectorsOf::Items };
    // A folder of its own beside the file, so that the rename stays within one file system.
    let folder = tempfile::tempdir_in(&target.folder).with_context(|| format!("--out: {}", target.folder.display()))?;
    let names: Vec<String> = (0..TOWER_DIM).map(|column| format!("v{column}")).collect();
    let reals = names.iter().map(|name| (name.as_str(), ColumnKind::Real));
    let columns: Vec<_> = std::iter::once(("id", ColumnKind::Text)).chain(reals).collect();
    let mut out = TableWriter::create(folder.path(), "vectors", target.format, &columns)?;
    let (bar, mut rows) = (progress::count("vectors"), 0_u64);
    let mut take = |key: &str, vector: &[f32]| -> anyhow::Result<()> {
        let cells: Vec<Cell<'_>> =
            std::iter::once(Cell::Text(key)).chain(vector.iter().copied().map(Cell::Real)).collect();
        out.row(&cells)?;
        rows += 1;
        bar.inc(1);
        Ok(())
    };
    let version = args.version.map(ModelVersion);
    let version = each(args.access.url.as_deref(), &config, of, version, &mut take)?;
    bar.finish_and_clear();
    let written = out.finish()?;
    fs::rename(written, &args.out).with_context(|| format!("--out: cannot write {}", args.out.display()))?;
    print(&format!("{rows} vectors of model {}", version.0))
}

/// Folder and format of the file.
struct Target {
    folder: PathBuf,
    format: FileFormat,
}

impl Target {
    fn of(out: &Path) -> anyhow::Result<Target> {
        let name = out.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let formats = [FileFormat::Parquet, FileFormat::Csv, FileFormat::CsvZst];
        let Some(format) = formats.into_iter().find(|format| name.ends_with(format.ending())) else {
            bail!("--out: {}: the name must end in .parquet, .csv or .csv.zst", out.display());
        };
        if out.exists() {
            bail!("--out: {} exists: remove it, or choose another name", out.display());
        }
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
        Ok(Target { folder: folder.unwrap_or(Path::new(".")).to_owned(), format })
    }
}
