//! `GET /v1/users/{id}/topics/history`: topic weights of a user over time, with the decay curves of this server.
//!
//! Invariant: the lines come from the user's journal and from the functions that learning uses. An answer has at most
//! [`TOPICS_MAX`] topics.

use serde_json::{Value, json};

use crate::actors::server::{LineChoice, TopicLine};
use crate::engine::learners::person::weight_history::{self, Curve};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::found;

/// The `limit` of topics by default.
const TOPICS_DEFAULT: u32 = 8;
/// The largest `limit` of topics.
const TOPICS_MAX: u32 = 16;

/// `GET /v1/users/{id}/topics/history?topic=&limit=&from=&to=`.
///
/// # Errors
/// `unknown_user`, `bad_field` or `out_of_range` of a parameter, `rate_limited` while another question about the user's
/// past is being answered.
pub async fn history(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["topic", "limit", "from", "to"])?;
    let limit = query.limit(TOPICS_DEFAULT, TOPICS_MAX)? as usize;
    let (from, to) = (query.time("from")?, query.time("to")?.unwrap_or_else(|| request.now()));
    if from.is_some_and(|from| from > to) {
        return Err(Refusal::field(Code::OutOfRange, "from", "must not lie after `to`").into());
    }
    let topic = query.key("topic")?;
    let who = request.person()?;
    let world = request.server().world();
    let settings = world.settings();
    // A topic that the server does not know has no weight.
    let chosen = topic.as_ref().map(|topic| world.find_topic(topic.as_str()));
    let (lines, truncated) = match chosen {
        Some(None) => (Vec::new(), false),
        chosen => {
            request.server().weight_history(who.id, LineChoice { topic: chosen.flatten(), from, to, limit }).await?
        }
    };
    let (horizon, rate) = (settings.decay_horizon_ms as f64, settings.decay_rate);
    found(&json!({
        "user": who.key,
        "from": from,
        "to": to,
        "decay": {"curve": settings.decay, "rate": rate, "horizon_ms": settings.decay_horizon_ms},
        "topics": lines.iter().map(line).collect::<Vec<_>>(),
        "truncated": truncated,
        "timedecay": curves(&weight_history::timedecay(horizon, rate)),
        "exampledecay": curves(&weight_history::exampledecay(horizon, rate)),
    }))
}

fn line(line: &TopicLine) -> Value {
    json!({"topic": line.topic, "changes": line.changes, "points": rounded(&line.points)})
}

fn curves(curves: &[Curve]) -> Vec<Value> {
    curves.iter().map(|(name, points)| json!({"name": name, "points": rounded(points)})).collect()
}

/// Points with the time in whole milliseconds.
fn rounded(points: &[(f64, f64)]) -> Vec<(i64, f64)> {
    points.iter().map(|(at, weight)| (at.round() as i64, *weight)).collect()
}
