//! The vectors of a two-tower model, from a store or from a running server.
//!
//! Invariant: rows come in order of creation, one at a time, so memory does not grow with them on this side. A server gives
//! vectors of the model that it serves; a store gives those of any stored model. Deliberately absent: files, whose formats
//! belong to the offline commands.

use std::io::BufRead as _;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::block_on;
use super::model::open;
use super::remote::Remote;
use crate::actors::clock::{Clock, WallClock};
use crate::actors::models;
use crate::app;
use crate::config::Config;
use crate::domain::ids::{ItemId, ModelVersion};
use crate::domain::time::Millis;
use crate::engine::two_tower::TOWER_DIM;
use crate::store::recovery::{load_coordinator, read_catalogue, recover};

/// Longest wait for one page of the server, whose user vectors need the state of each user.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Rows in one request to a server.
const PAGE_ROWS: u32 = 10_000;

/// The tower whose vectors are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorsOf {
    /// Vectors of all items that are not deleted.
    Items,
    /// Vectors of all users, with their history up to now.
    Users,
}

/// Receives one row: a key with its vector.
pub type TakeRow<'a> = &'a mut dyn FnMut(&str, &[f32]) -> anyhow::Result<()>;

/// Hands each vector to `take` and returns the version of the model: from the configured store, or from the server at `url`.
/// Without a `version` the model is the served one.
///
/// # Errors
/// No model serves, the version is unknown or does not serve, or the store, the server or `take` fails.
pub fn each(
    url: Option<&str>,
    config: &Config,
    of: VectorsOf,
    version: Option<ModelVersion>,
    take: TakeRow<'_>,
) -> anyhow::Result<ModelVersion> {
    match url {
        Some(url) => over_http(url, of, version, take),
        None => block_on(in_store(config, of, version, WallClock::default().now(), take)),
    }
}

async fn in_store(
    config: &Config,
    of: VectorsOf,
    version: Option<ModelVersion>,
    now: Millis,
    take: TakeRow<'_>,
) -> anyhow::Result<ModelVersion> {
    let store = open(config).await?;
    let store = &*store;
    let (catalogue, people) = read_catalogue(store).await?;
    let mut coordinator = load_coordinator(store, config.dim, config.engine().into(), catalogue, now).await?;
    match version {
        Some(version) => coordinator.set_tower(models::read(store, app::open_models(), version, config.dim).await?),
        None => models::restore(store, &app::open_models(), &mut coordinator).await?,
    }
    let world = coordinator.world();
    let tower = world.tower().context("no two-tower model serves: `eddyline model publish` publishes one")?;
    match of {
        VectorsOf::Items => {
            for id in (0..world.len()).map(ItemId) {
                let item = world.item(id).filter(|item| !item.deleted);
                if let Some((item, vector)) = item.zip(tower.item(id)) {
                    take(item.key.as_str(), vector)?;
                }
            }
        }
        VectorsOf::Users => {
            for person in people.iter().filter(|person| !person.erased) {
                let (mut state, _) = recover(store, person.id, world).await?;
                state.set_attributes(person.attributes.as_deref().map(Into::into));
                if let Some(vector) = state.tower_vector(world, now) {
                    take(person.key.as_str(), &vector)?;
                }
            }
        }
    }
    Ok(tower.version())
}

/// One line of the server's answer.
#[derive(Deserialize)]
struct Row {
    id: String,
    vector: Vec<f32>,
}

fn over_http(
    url: &str,
    of: VectorsOf,
    version: Option<ModelVersion>,
    take: TakeRow<'_>,
) -> anyhow::Result<ModelVersion> {
    let server = Remote::new(url, TIMEOUT);
    let version = match version {
        Some(version) => version,
        None => {
            let found = server.ask("GET", "/v1/models", None)?;
            let models = found["models"].as_array().context("the server answered without a list")?;
            let serving = models.iter().find(|model| model["serves"] == true);
            let version = serving.and_then(|model| model["version"].as_u64());
            ModelVersion(version.context("no two-tower model serves: `eddyline model publish` publishes one")?)
        }
    };
    let of = match of {
        VectorsOf::Items => "items",
        VectorsOf::Users => "users",
    };
    let base = format!("/v1/models/{}/embeddings", version.0);
    let mut query = Some(format!("?of={of}&format=ndjson&limit={PAGE_ROWS}"));
    while let Some(asked) = query.take() {
        let answer = server.open("GET", &format!("{base}{asked}"), None)?;
        query = next_page(answer.headers().get("link").and_then(|link| link.to_str().ok())).map(str::to_owned);
        ensure!(query.as_ref() != Some(&asked), "{url}: the server answered with one page twice");
        let mut lines = std::io::BufReader::new(answer.into_body().into_reader());
        let mut line = String::new();
        while lines.read_line(&mut line).with_context(|| format!("{url}: the answer ended early"))? > 0 {
            let row: Row = serde_json::from_str(&line).with_context(|| format!("{url}: a row of the answer"))?;
            if row.vector.len() != TOWER_DIM {
                bail!("{url}: a vector has {} numbers, must have {TOWER_DIM}", row.vector.len());
            }
            take(&row.id, &row.vector)?;
            line.clear();
        }
    }
    Ok(version)
}

/// The query of the next page in a `Link` header such as `<?of=items&after=99>; rel="next"`.
fn next_page(link: Option<&str>) -> Option<&str> {
    let (target, rest) = link?.trim_start().strip_prefix('<')?.split_once('>')?;
    (rest.contains("rel=\"next\"") && target.starts_with('?')).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn the_next_page_is_the_one_that_the_link_names() {
        for (link, query) in [
            (Some("<?of=items&after=99>; rel=\"next\""), Some("?of=items&after=99")),
            (Some("<?of=items>; rel=\"prev\""), None),
            (Some("<http://elsewhere/?a=1>; rel=\"next\""), None),
            (Some("nonsense"), None),
            (None, None),
        ] {
            assert_eq!(next_page(link), query, "{link:?}");
        }
    }
}
