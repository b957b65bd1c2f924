//! Items by the words of their texts.
//!
//! Invariant: the scan runs apart from the web workers and keeps as many items as it answers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::domain::ids::ItemId;
use crate::engine::world::World;
use crate::protocol::refusal::Refusal;

use super::reply::{GorseRequest, bad};

/// Bytes of a query at most.
const QUERY_BYTES_MAX: usize = 1_024;

/// At most `limit` items whose texts have all words of `text`, those with the shortest texts first.
///
/// # Errors
/// The text is too long, or too many scans are under way.
pub(super) async fn find(request: &GorseRequest, text: &str, limit: usize) -> Result<Vec<ItemId>, Refusal> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(bad("q", format!("must have at most {QUERY_BYTES_MAX} bytes, has {}", text.len())));
    }
    let (world, text) = (request.server().world(), text.to_lowercase());
    request.scan(move || with_words(&world, &text, limit)).await
}

fn with_words(world: &World, text: &str, limit: usize) -> Vec<ItemId> {
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Vec::new();
    }
    let mut best: BinaryHeap<(usize, Reverse<ItemId>)> = BinaryHeap::with_capacity(limit + 1);
    for item in world.blocks().iter().flat_map(|block| block.items()).filter(|item| !item.deleted) {
        let lower = item.text.to_lowercase();
        let has = |word: &&str| lower.split(|c: char| !c.is_alphanumeric()).any(|one| one == *word);
        if words.iter().all(has) {
            best.push((lower.len(), Reverse(item.id)));
            if best.len() > limit {
                best.pop();
            }
        }
    }
    best.into_sorted_vec().into_iter().map(|(_, Reverse(id))| id).collect()
}
