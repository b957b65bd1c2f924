//! The decay of topic weights on this server, and the graph of follows with positions for drawing.
//!
//! Invariant: the decay is that of the running server; the graph is for services, since it shows who follows whom.

use serde_json::{Value, json};

use crate::actors::server::FollowGraph;
use crate::engine::learners::person::topics::EULER_FLOOR;

use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::found;

/// The largest `limit` of a graph: the layout takes about a second.
const PEOPLE_MAX: u32 = 3_000;
/// The `limit` of a graph by default.
const PEOPLE_DEFAULT: u32 = 1_000;
/// Decimals of a position: a two-thousandth of the picture's width.
const GRID: f32 = 1_000.0;

/// `GET /v1/decay`: the settings by which topic weights decay.
///
/// # Errors
/// `bad_field` for a query parameter.
pub async fn decay(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let world = request.server().world();
    let settings = world.settings();
    found(&json!({
        "curve": settings.decay,
        "rate": settings.decay_rate,
        "horizon_ms": settings.decay_horizon_ms,
        "euler_floor": EULER_FLOOR,
    }))
}

/// `GET /v1/graph?limit=`: users from the first key on along follows, their positions, and the pairs of whom one follows the other.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn graph(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let limit = request.query(&["limit"])?.limit(PEOPLE_DEFAULT, PEOPLE_MAX)? as usize;
    let graph = request.server().follow_graph(limit).await?;
    found(&as_json(&graph, request.server().people().len()))
}

fn as_json(graph: &FollowGraph, known: usize) -> Value {
    let mut friends = vec![0_u32; graph.people.len()];
    for (one, other) in &graph.edges {
        friends[*one as usize] += 1;
        friends[*other as usize] += 1;
    }
    let rounded = |value: f32| f64::from((value * GRID).round()) / f64::from(GRID);
    let people: Vec<Value> = graph
        .people
        .iter()
        .zip(&graph.positions)
        .zip(friends)
        .map(|((person, (x, y)), friends)| {
            json!({"user": person.key, "id": person.key, "name": person.name, "x": rounded(*x), "y": rounded(*y), "friends": friends})
        })
        .collect();
    json!({"people": people, "edges": graph.edges, "known": known, "edges_left_out": graph.edges_left_out})
}
