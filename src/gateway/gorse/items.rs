//! Items of Gorse clients, which are the server's items: the comment is the text, categories are topics.
//!
//! Invariant: a hidden item is one whose windows have all ended, so nothing recommends it, and it can be read. The list is
//! ordered by the bytes of the id. Deliberately absent: a scan on a web worker.

use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use actix_web::web;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::actors::server::{ItemDraft, ItemWrite};
use crate::domain::ids::{ItemId, Key};
use crate::domain::items::Item;
use crate::domain::time::Millis;
use crate::domain::timestamps;
use crate::domain::windows::{Window, Windows};
use crate::engine::world::World;
use crate::protocol::refusal::Refusal;

use super::super::checks;
use super::super::rest::items::weight;
use super::super::rest::list::{fields, listed};
use super::labels::Facts;
use super::reply::{GorseRequest, GorseResult, Page, affected, cursor, found, instant, no_item, or_null, patiently};
use super::words;

/// Items per write of a list.
const CHUNK: usize = 1_000;
/// The largest size of a number of an embedding in JSON.
const NUMBER_BYTES: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ItemView<'a> {
    item_id: &'a Key,
    is_hidden: bool,
    categories: Vec<&'a Key>,
    timestamp: String,
    labels: Value,
    comment: &'a str,
}

/// The body of POST.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ItemInput {
    item_id: Key,
    #[serde(default, deserialize_with = "or_null")]
    is_hidden: bool,
    #[serde(default, deserialize_with = "or_null")]
    categories: Vec<Key>,
    #[serde(default, deserialize_with = "or_null")]
    timestamp: String,
    #[serde(default)]
    labels: Value,
    #[serde(default, deserialize_with = "or_null")]
    comment: String,
}

/// The body of PATCH: a null field stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ItemPatch {
    is_hidden: Option<bool>,
    categories: Option<Vec<Key>>,
    timestamp: Option<String>,
    labels: Option<Value>,
    comment: Option<String>,
}

/// `POST /api/item`, `POST /api/items`: creates or replaces items.
///
/// # Errors
/// An item is not readable; then nothing is written.
pub async fn insert(request: GorseRequest, payload: web::Payload) -> GorseResult {
    let list: Vec<ItemInput> = request.list(payload).await?;
    let (world, now) = (request.server().world(), request.now());
    let drafts = list.into_iter().map(|item| draft(&world, item, now)).collect::<Result<Vec<_>, _>>()?;
    let count = drafts.len();
    for chunk in drafts.chunks(CHUNK) {
        write(&request, chunk.to_vec(), ItemWrite::Replace).await?;
    }
    affected(count)
}

/// `GET /api/item/{id}`.
///
/// # Errors
/// The item is unknown.
pub async fn one(request: GorseRequest) -> GorseResult {
    let id = request.known_item("id")?;
    let (world, key) = (request.server().world(), request.key("id")?);
    found(&view(&world, alive(&world, id, &key)?, request.now()))
}

/// `PATCH /api/item/{id}`.
///
/// # Errors
/// The item is unknown, or a field is wrong.
pub async fn patch(request: GorseRequest, payload: web::Payload) -> GorseResult {
    let key = request.key("id")?;
    let patch: ItemPatch = request.object(payload).await?;
    let id = request.known_item("id")?;
    let world = request.server().world();
    let draft = change(&world, alive(&world, id, &key)?, patch, request.now())?;
    write(&request, vec![draft], ItemWrite::Change).await?;
    affected(1)
}

/// `DELETE /api/item/{id}`. The answer is 1 for an unknown item, too, as in Gorse.
///
/// # Errors
/// Busy while the store cannot answer.
pub async fn delete(request: GorseRequest) -> GorseResult {
    let key = request.key("id")?;
    let id = request.server().world().find_item(key.as_str());
    if let Some(id) = id {
        request.server().delete_item(id).await?;
    }
    affected(1)
}

/// `PUT /api/item/{id}/category/{category}`: adds a category to an item.
///
/// # Errors
/// The item is unknown, or has as many categories as an item may have.
pub async fn add_category(request: GorseRequest) -> GorseResult {
    categorise(request, |categories, category| {
        if !categories.contains(&category) {
            categories.push(category);
        }
    })
    .await
}

/// `DELETE /api/item/{id}/category/{category}`: takes a category from an item.
///
/// # Errors
/// The item is unknown.
pub async fn remove_category(request: GorseRequest) -> GorseResult {
    categorise(request, |categories, category| categories.retain(|one| *one != category)).await
}

/// `GET /api/items?n=&cursor=`: items in the order of their ids; with `q`, items with the words of `q` in their texts.
///
/// # Errors
/// A parameter is wrong.
pub async fn list(request: GorseRequest) -> GorseResult {
    let page = request.page()?;
    let world = request.server().world();
    let (ids, next) = match page.text("q") {
        Some(text) => (words::find(&request, text, page.n).await?, None),
        None => ordered(&request, &world, &page).await?,
    };
    let (weighed, now) = (Arc::clone(&world), request.now());
    let weigh =
        move |id: &ItemId| weighed.item(*id).map_or(0, |item| weight(item) + NUMBER_BYTES * item.embedding.len());
    let write = move |id| {
        let item = world.item(id).filter(|item| !item.deleted)?;
        serde_json::to_vec(&view(&world, item, now)).ok()
    };
    let beside = fields([("Cursor", json!(cursor(next.as_deref())))]);
    Ok(listed(&request, "Items", ids.into_iter(), weigh, write, beside).await?)
}

/// A page of items by the bytes of their ids, and the id that its cursor holds where more follow.
async fn ordered(
    request: &GorseRequest,
    world: &Arc<World>,
    page: &Page,
) -> Result<(Vec<ItemId>, Option<String>), Refusal> {
    let (after, n, there) = (page.cursor()?, page.n, Arc::clone(world));
    let mut first = request.scan(move || first_after(&there, after.as_deref(), n + 1)).await?;
    let more = first.len() > n;
    first.truncate(n);
    let last = first.last().filter(|_| more).and_then(|id| world.item(*id));
    let next = last.map(|item| item.key.as_str().to_owned());
    Ok((first, next))
}

/// The first `limit` items whose keys come after a key, in order. Memory grows with `limit` alone.
fn first_after(world: &World, after: Option<&str>, limit: usize) -> Vec<ItemId> {
    let mut first: BinaryHeap<(&Key, ItemId)> = BinaryHeap::with_capacity(limit + 1);
    for item in world.blocks().iter().flat_map(|block| block.items()).filter(|item| !item.deleted) {
        if after.is_some_and(|after| item.key.as_str() <= after) {
            continue;
        }
        if first.len() < limit || first.peek().is_some_and(|(last, _)| item.key < **last) {
            first.push((&item.key, item.id));
            if first.len() > limit {
                first.pop();
            }
        }
    }
    first.into_sorted_vec().into_iter().map(|(_, id)| id).collect()
}

async fn categorise(request: GorseRequest, change: impl Fn(&mut Vec<Key>, Key)) -> GorseResult {
    let (key, category) = (request.key("id")?, request.key("category")?);
    let id = request.known_item("id")?;
    let world = request.server().world();
    let mut categories: Vec<Key> = categories(&world, alive(&world, id, &key)?).into_iter().cloned().collect();
    change(&mut categories, category);
    let draft = ItemDraft { key: Some(key), topics: Some(topics(categories)?), ..ItemDraft::default() };
    write(&request, vec![draft], ItemWrite::Change).await?;
    affected(1)
}

/// Creates the unknown items of these keys. Their text is the key. Their instant is the zero instant of Gorse, so that they
/// are older than all others.
pub(super) async fn ensure(request: &GorseRequest, keys: BTreeSet<Key>) -> Result<(), Refusal> {
    let world = request.server().world();
    let unknown = keys.into_iter().filter(|key| world.find_item(key.as_str()).is_none());
    let draft = |key: Key| {
        let (text, created) = (Some(text_of(String::new(), &key)?), Some(Millis::MIN));
        Ok::<_, Refusal>(ItemDraft { text, created, key: Some(key), ..ItemDraft::default() })
    };
    let drafts = unknown.map(draft).collect::<Result<Vec<_>, _>>()?;
    for chunk in drafts.chunks(CHUNK) {
        write(request, chunk.to_vec(), ItemWrite::Ensure).await?;
    }
    Ok(())
}

/// Writes items; the first refusal is the answer.
async fn write(request: &GorseRequest, drafts: Vec<ItemDraft>, how: ItemWrite) -> Result<(), Refusal> {
    let server = request.server();
    let call = || async {
        let written = server.write_items(drafts.clone(), how).await;
        written.into_iter().try_for_each(|one| one.map(drop))
    };
    patiently(call).await
}

/// The draft of a whole item. What Gorse does not know of an existing item stays: its author and its windows.
fn draft(world: &World, input: ItemInput, now: Millis) -> Result<ItemDraft, Refusal> {
    let ItemInput { item_id: key, is_hidden, categories, timestamp, labels, comment } = input;
    let old = world.find_item(key.as_str()).and_then(|id| world.item(id));
    let mut facts = Facts { labels, ..Facts::default() };
    let embedding = facts.take_embedding(world.dim());
    let created = instant(&timestamp)?.or(old.map(|item| item.created));
    Ok(ItemDraft {
        author: old.and_then(|item| item.author.as_ref()).map(|author| author.id),
        topics: Some(topics(categories)?),
        text: Some(text_of(comment, &key)?),
        attributes: facts.write()?.map(Into::into),
        embedding: embedding.map(|numbers| checks::embedding(numbers, world.dim())).transpose()?,
        created,
        windows: Some(windows(old, is_hidden, created.unwrap_or(now), now)?),
        key: Some(key),
    })
}

/// The draft of a change of an item.
fn change(world: &World, old: &Item, patch: ItemPatch, now: Millis) -> Result<ItemDraft, Refusal> {
    let ItemPatch { is_hidden, categories, timestamp, labels, comment } = patch;
    let created = timestamp.as_deref().map(instant).transpose()?.flatten();
    let had_embedding = Facts::read(old.attributes.as_deref()).has_embedding;
    let mut text = comment.map(|comment| text_of(comment, &old.key)).transpose()?;
    let mut embedding = None;
    let attributes = match labels {
        Some(labels) => {
            let mut facts = Facts { labels, ..Facts::default() };
            embedding = facts.take_embedding(world.dim());
            if had_embedding && embedding.is_none() {
                // Without its label, the embedding is that of the text again.
                text = text.or_else(|| Some(old.text.to_string()));
            }
            Some(facts.write()?.unwrap_or_else(|| "{}".to_owned()).into())
        }
        None => None,
    };
    let embedding = match embedding {
        Some(numbers) => Some(checks::embedding(numbers, world.dim())?),
        // A new text would replace the embedding that the labels hold.
        None => (had_embedding && attributes.is_none() && text.is_some()).then(|| old.embedding.clone()),
    };
    Ok(ItemDraft {
        key: Some(old.key.clone()),
        author: None,
        topics: categories.map(topics).transpose()?,
        text,
        attributes,
        embedding,
        created,
        windows: is_hidden.map(|hidden| windows(Some(old), hidden, created.unwrap_or(old.created), now)).transpose()?,
    })
}

/// The text of an item: the comment, or the id where there is none, since an item needs a text.
fn text_of(comment: String, key: &Key) -> Result<String, Refusal> {
    let text = if comment.trim().is_empty() { key.as_str().to_owned() } else { comment };
    checks::text(text).map_err(|refusal| Refusal { field: Some("Comment".to_owned()), ..refusal })
}

/// Categories as topics, each once.
fn topics(categories: Vec<Key>) -> Result<Vec<Key>, Refusal> {
    let mut topics: Vec<Key> = Vec::with_capacity(categories.len());
    for category in categories {
        if !topics.contains(&category) {
            topics.push(category);
        }
        if topics.len() > Item::TOPICS_MAX {
            break;
        }
    }
    checks::item_topics(topics).map_err(|refusal| Refusal { field: Some("Categories".to_owned()), ..refusal })
}

/// The windows of an item that is hidden or shown. Hiding ends all windows now, and shows nothing of the past differently.
fn windows(old: Option<&Item>, hidden: bool, created: Millis, now: Millis) -> Result<Windows, Refusal> {
    let was_hidden = old.is_some_and(|item| is_hidden(item, now));
    let own = || old.map(|item| item.windows.clone()).unwrap_or_default();
    if hidden == was_hidden && old.is_some() {
        return Ok(own());
    }
    if !hidden {
        return Ok(Windows::default());
    }
    let own = own();
    let always = [Window { start: created, stop: None }];
    let open = if own.as_slice().is_empty() && old.is_some() { &always[..] } else { own.as_slice() };
    let ended = |window: &Window| Window { stop: Some(window.stop.map_or(now, |stop| stop.min(now))), ..*window };
    let mut list: Vec<Window> = open.iter().filter(|window| window.start < now).map(ended).collect();
    if list.is_empty() {
        // Before the item existed, so that it never was available.
        let stop = created.min(now).max(Millis(Millis::MIN.0 + 1));
        list.push(Window { start: Millis(stop.0 - 1), stop: Some(stop) });
    }
    checks::windows(list)
}

/// Whether all windows of an item have ended.
fn is_hidden(item: &Item, now: Millis) -> bool {
    item.windows.as_slice().last().is_some_and(|window| window.stop.is_some_and(|stop| stop <= now))
}

fn alive<'a>(world: &'a World, id: ItemId, key: &Key) -> Result<&'a Item, Refusal> {
    world.item(id).filter(|item| !item.deleted).ok_or_else(|| no_item(key))
}

/// The topics of an item, each once: earlier versions imported items with repeated topics.
fn categories<'a>(world: &'a World, item: &Item) -> Vec<&'a Key> {
    let first = |(place, topic)| (!item.topics[..place].contains(topic)).then_some(*topic);
    item.topics.iter().enumerate().filter_map(first).filter_map(|topic| world.topic(topic)).collect()
}

fn view<'a>(world: &'a World, item: &'a Item, now: Millis) -> ItemView<'a> {
    ItemView {
        item_id: &item.key,
        is_hidden: is_hidden(item, now),
        categories: categories(world, item),
        timestamp: timestamps::text(item.created),
        labels: Facts::read(item.attributes.as_deref()).item_labels(&item.embedding),
        comment: if *item.text == *item.key.as_str() { "" } else { &item.text },
    }
}
