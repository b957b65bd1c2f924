//! `GET /v1/users/{id}/topics/history`: topic weights of a user over time, with the decay curves of this server.
//!
//! Invariant: the lines come from the user's journal and from the functions that learning uses. An answer has at most
//! [`TOPICS_MAX`] topics. All pages end at one instant.

use serde_json::{Value, json};

use crate::actors::server::{LineChoice, LinePlace, TopicLine, TopicLines};
use crate::domain::ids::TopicId;
use crate::domain::time::Millis;
use crate::engine::learners::person::weight_history::{self, Curve};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::cursor::CursorList;
use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::found;

/// The `limit` of topics by default.
const TOPICS_DEFAULT: u32 = 8;
/// The largest `limit` of topics.
const TOPICS_MAX: u32 = 16;

/// `GET /v1/users/{id}/topics/history?topic=&limit=&from=&to=&after=`.
///
/// # Errors
/// `unknown_user`, `bad_field` or `out_of_range` of a parameter, `rate_limited` while another question about the user's
/// past is being answered.
pub async fn history(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["topic", "limit", "from", "to", "after"])?;
    let limit = query.limit(TOPICS_DEFAULT, TOPICS_MAX)? as usize;
    let who = request.person()?;
    let list = CursorList::of("topic weights", who.key.as_str(), &query, &["topic", "from", "to"]);
    let (after, ended) = list.read(&query)?.map_or((None, None), |[peak, topic, to]| {
        (Some(LinePlace { peak: f64::from_bits(peak), topic: TopicId(topic as u32) }), Some(Millis(to as i64)))
    });
    let (from, to) = (query.time("from")?, query.time("to")?.or(ended).unwrap_or_else(|| request.now()));
    if from.is_some_and(|from| from > to) {
        return Err(Refusal::field(Code::OutOfRange, "from", "must not lie after `to`").into());
    }
    let topic = query.key("topic")?;
    let world = request.server().world();
    let settings = world.settings();
    // A topic that the server does not know has no weight.
    let chosen = topic.as_ref().map(|topic| world.find_topic(topic.as_str()));
    let TopicLines { lines, truncated, next } = match chosen {
        Some(None) => TopicLines::default(),
        chosen => {
            let choice = LineChoice { topic: chosen.flatten(), from, to, after, limit };
            request.server().weight_history(who.id, choice).await?
        }
    };
    let (horizon, rate) = (settings.decay_horizon_ms as f64, settings.decay_rate);
    let mut body = json!({
        "user": who.key,
        "from": from,
        "to": to,
        "decay": {"curve": settings.decay, "rate": rate, "horizon_ms": settings.decay_horizon_ms},
        "topics": lines.iter().map(line).collect::<Vec<_>>(),
        "truncated": truncated,
        "timedecay": curves(&weight_history::timedecay(horizon, rate)),
        "exampledecay": curves(&weight_history::exampledecay(horizon, rate)),
    });
    if let Some(LinePlace { peak, topic }) = next {
        body["next"] = json!(list.write([peak.to_bits(), topic.0.into(), to.0 as u64]));
    }
    found(&body)
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
