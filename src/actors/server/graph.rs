//! The graph of follows, placed for drawing.
//!
//! Invariant: an answer has at most as many users as requested, and at most [`EDGES_MAX`] edges. Equal follows give
//! equal positions. The layout runs on the threads of scans, one turn at a time per place.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Server;
use crate::actors::errors::RequestError;
use crate::domain::ids::UserId;
use crate::domain::people::Person;
use crate::engine::numeric::layout;

/// Largest number of edges in an answer.
pub const EDGES_MAX: usize = 20_000;
/// Reads of the store that run at once.
const READS: usize = 8;

/// Users, their positions and the follows between them.
#[derive(Clone, Debug, Default)]
pub struct FollowGraph {
    /// The users, in the order in which they were found.
    pub people: Vec<Arc<Person>>,
    /// Position of each user, with coordinates in [-1, 1].
    pub positions: Vec<(f32, f32)>,
    /// Pairs of indices of users of whom one follows the other, or both; the smaller index first.
    pub edges: Vec<(u32, u32)>,
    /// Number of pairs beyond [`EDGES_MAX`].
    pub edges_left_out: usize,
}

impl Server {
    /// The users whom a user follows, by id. Reads the store, so that no actor starts for the question.
    ///
    /// # Errors
    /// Busy while the store cannot answer.
    pub async fn follows(&self, user: UserId) -> Result<Vec<UserId>, RequestError> {
        Ok(self.context.store.follows(user).await?)
    }

    /// The graph of `limit` users: the first ones by key, and the users whom they follow, directly or through others. So a
    /// part of a large network is connected where the network is.
    ///
    /// # Errors
    /// Busy while too many scans run, or the store cannot answer.
    pub async fn follow_graph(&self, limit: usize) -> Result<FollowGraph, RequestError> {
        let first = self.people().list("", limit, |_| true);
        let mut people: Vec<Arc<Person>> = Vec::with_capacity(first.len());
        let mut numbers: BTreeMap<UserId, u32> = BTreeMap::new();
        let mut follows: Vec<Vec<UserId>> = Vec::with_capacity(first.len());
        for seed in first {
            let mut found = vec![seed.id];
            // All users found on the last level are read together.
            while !found.is_empty() {
                let from = people.len();
                for id in found.drain(..) {
                    let person = self.people().get(id).filter(|_| people.len() < limit && !numbers.contains_key(&id));
                    let Some(person) = person else { continue };
                    numbers.insert(id, people.len() as u32);
                    people.push(person);
                }
                let ids: Vec<UserId> = people[from..].iter().map(|person| person.id).collect();
                let reads = ids.into_iter().map(|id| self.context.store.follows(id));
                let read: Vec<Vec<UserId>> = stream::iter(reads).buffered(READS).try_collect().await?;
                found.extend(read.iter().flatten());
                follows.extend(read);
            }
        }
        let mut edges: Vec<(u32, u32)> = Vec::new();
        for (one, list) in (0_u32..).zip(&follows) {
            let others = list.iter().filter_map(|whom| numbers.get(whom)).filter(|other| **other != one);
            edges.extend(others.map(|other| (one.min(*other), one.max(*other))));
        }
        edges.sort_unstable();
        edges.dedup();
        let edges_left_out = edges.len().saturating_sub(EDGES_MAX);
        edges.truncate(EDGES_MAX);
        let nodes = people.len();
        let (positions, edges) = self
            .scan(None, move || {
                let positions = layout::positions(nodes, &edges);
                (positions, edges)
            })
            .await?;
        Ok(FollowGraph { people, positions, edges, edges_left_out })
    }
}
